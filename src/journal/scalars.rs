//! The single words of the stored form: names, ids, address prefixes, and the kernel's closed sets as snake_case words.
//! What must stay true: a word once written keeps its spelling, since journals outlive programs.

use std::borrow::Cow;
use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use serde::de::{Error as _, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use kernel::allocation::{EndCause, IpPrefix, Owner};
use kernel::annotation::Annotation;
use kernel::bam::{ModelKind, VictimOrder, VictimPolicy};
use kernel::controller::DriverKind;
use kernel::id::{AllocationId, Name};
use kernel::path::{Disjointness, Metric};
use kernel::policy::{PathChoice, Restoration};
use kernel::topology::{CapacitySource, LinkState};

/// A [`Name`] as it is stored: a JSON string, checked when it is read.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct StoredName(pub Name);

/// An [`Annotation`] as it is stored: a JSON string, checked when it is read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoredAnnotation(pub Annotation);

/// An [`AllocationId`] as it is stored: a JSON string, since not every reader's numbers hold 64 bits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StoredAllocationId(pub AllocationId);

/// An [`IpPrefix`] as it is stored: `10.0.0.0/8`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Prefix<A>(pub IpPrefix<A>);

/// An OpenFlow datapath id as it is stored: sixteen hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StoredDpid(pub u64);

/// A free text as it is stored: PostgreSQL takes no NUL in any text, so that it is written as `DLE 0`, and DLE itself as
/// `DLE 1`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Text(pub String);

/// Data link escape, U+0010.
const DLE: char = '\u{10}';

impl From<&Name> for StoredName {
    fn from(name: &Name) -> Self {
        Self(name.clone())
    }
}

impl fmt::Display for StoredName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for StoredAllocationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for StoredName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.as_str())
    }
}

impl Serialize for StoredAnnotation {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.as_str())
    }
}

impl Serialize for StoredAllocationId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<A: fmt::Display> Serialize for Prefix<A> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{}/{}", self.0.address, self.0.length))
    }
}

impl Serialize for Text {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&escaped(&self.0))
    }
}

/// A text without NUL that stands for `text` and no other.
pub(super) fn escaped(text: &str) -> Cow<'_, str> {
    if text.contains(['\0', DLE]) {
        Cow::Owned(text.replace(DLE, "\u{10}1").replace('\0', "\u{10}0"))
    } else {
        Cow::Borrowed(text)
    }
}

impl Serialize for StoredDpid {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{:016x}", self.0))
    }
}

/// A word that is read from a borrowed text.
trait Word: Sized {
    const EXPECTING: &'static str;
    fn read(text: &str) -> Option<Self>;
}

impl Word for StoredName {
    const EXPECTING: &'static str = "a name";

    fn read(text: &str) -> Option<Self> {
        Name::new(text).ok().map(Self)
    }
}

impl Word for StoredAnnotation {
    const EXPECTING: &'static str = "an annotation";

    fn read(text: &str) -> Option<Self> {
        Annotation::parse(text).ok().flatten().map(Self)
    }
}

impl Word for StoredAllocationId {
    const EXPECTING: &'static str = "an allocation's id";

    fn read(text: &str) -> Option<Self> {
        text.parse().ok().map(|number| Self(AllocationId(number)))
    }
}

/// An address of which so many bits can count.
trait PrefixAddress: FromStr {
    const LENGTH_MAX: u8;
}

impl PrefixAddress for Ipv4Addr {
    const LENGTH_MAX: u8 = 32;
}

impl PrefixAddress for Ipv6Addr {
    const LENGTH_MAX: u8 = 128;
}

impl<A: PrefixAddress> Word for Prefix<A> {
    const EXPECTING: &'static str = "an IP prefix such as 10.0.0.0/8 or fd00::/8";

    fn read(text: &str) -> Option<Self> {
        let (address, length) = text.split_once('/')?;
        let address = address.parse().ok()?;
        let length = length.parse().ok().filter(|length| *length <= A::LENGTH_MAX)?;
        Some(Self(IpPrefix { address, length }))
    }
}

impl Word for StoredDpid {
    const EXPECTING: &'static str = "a datapath id of sixteen hexadecimal digits";

    fn read(text: &str) -> Option<Self> {
        u64::from_str_radix(text, 16).ok().map(Self)
    }
}

impl Word for Text {
    const EXPECTING: &'static str = "a text in which DLE stands before 0 or 1";

    fn read(text: &str) -> Option<Self> {
        let mut pieces = text.split(DLE);
        let mut whole = pieces.next()?.to_owned();
        for piece in pieces {
            let (escaped, rest) = match piece.strip_prefix('0') {
                Some(rest) => ('\0', rest),
                None => (DLE, piece.strip_prefix('1')?),
            };
            whole.push(escaped);
            whole.push_str(rest);
        }
        Some(Self(whole))
    }
}

struct WordVisitor<W>(std::marker::PhantomData<W>);

impl<W: Word> Visitor<'_> for WordVisitor<W> {
    type Value = W;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(W::EXPECTING)
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<W, E> {
        W::read(text).ok_or_else(|| E::invalid_value(serde::de::Unexpected::Str(text), &self))
    }
}

fn word<'de, W: Word, D: Deserializer<'de>>(deserializer: D) -> Result<W, D::Error> {
    deserializer.deserialize_str(WordVisitor(std::marker::PhantomData))
}

impl<'de> Deserialize<'de> for StoredName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        word(deserializer)
    }
}

impl<'de> Deserialize<'de> for StoredAnnotation {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        word(deserializer)
    }
}

impl<'de> Deserialize<'de> for StoredAllocationId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        word(deserializer)
    }
}

impl<'de, A: PrefixAddress> Deserialize<'de> for Prefix<A> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        word(deserializer)
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        word(deserializer)
    }
}

impl<'de> Deserialize<'de> for StoredDpid {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        word(deserializer)
    }
}

/// A closed set of the kernel's, one word for each member.
macro_rules! words {
    ($($(#[$doc:meta])* $stored:ident of $kernel:ty { $($member:ident)* })*) => { $(
        $(#[$doc])*
        #[derive(Serialize, Deserialize, Clone, Copy, PartialEq, Eq, Debug)]
        #[serde(rename_all = "snake_case")]
        pub enum $stored {
            $(#[doc = concat!("As in the kernel: ", stringify!($member), ".")] $member,)*
        }

        impl From<$kernel> for $stored {
            fn from(one: $kernel) -> Self {
                match one { $(<$kernel>::$member => Self::$member,)* }
            }
        }

        impl From<$stored> for $kernel {
            fn from(one: $stored) -> Self {
                match one { $($stored::$member => Self::$member,)* }
            }
        }
    )* };
}

words! {
    KindWord of ModelKind { Mam Rdm Gbam Atcs }
    /// The order in which classes are preempted.
    VictimWord of VictimOrder { HighestFirst LowestFirst }
    /// How victims are chosen within a class.
    VictimPolicyWord of VictimPolicy { LeastBandwidth Newest Fewest }
    /// Which path is taken when some need victims.
    ChoiceWord of PathChoice { AvoidVictims FewestHops }
    /// Whether a preempted allocation is rerouted.
    RestorationWord of Restoration { Reroute None }
    /// What two paths must not share.
    DisjointnessWord of Disjointness { Link Srlg Node }
    /// What a path is short in.
    MetricWord of Metric { Congestion CongestionTe Te Hops Delay }
    /// Whether a link may carry anything.
    LinkWord of LinkState { Up Down Maintenance }
    /// How a capacity is known.
    SourceWord of CapacitySource { Given Label Bound Range Module Default }
    /// Why an allocation is over.
    EndWord of EndCause { Released Expired Preempted Devolved Failed }
    /// Who made an allocation.
    OwnerWord of Owner { Requester Scheduler }
    /// Which dialect a controller speaks.
    DriverWord of DriverKind { Ryu Onos Simulated }
}

impl Default for VictimPolicyWord {
    /// What models have that were stored without one.
    fn default() -> Self {
        VictimPolicy::default().into()
    }
}

impl EndWord {
    /// As it stands in a column.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Released => "released",
            Self::Expired => "expired",
            Self::Preempted => "preempted",
            Self::Devolved => "devolved",
            Self::Failed => "failed",
        }
    }

    /// Reads a column.
    pub(super) fn read(text: &str) -> Result<Self, serde_json::Error> {
        let all = [Self::Released, Self::Expired, Self::Preempted, Self::Devolved, Self::Failed];
        let found = all.into_iter().find(|word| word.as_str() == text);
        found.ok_or_else(|| serde_json::Error::custom(format_args!("'{text}' is not why an allocation ends")))
    }
}
