//! Closed sets of words: an enum whose members read and write as one word each, on the wire and on the command line.

/// A word is not in its set.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("'{word}' is not one of {}", .known.join(", "))]
pub struct UnknownWord {
    /// The word.
    pub word: String,
    /// The words of the set.
    pub known: &'static [&'static str],
}

/// An enum with serde, schema, `ALL`, `WORDS`, `as_str`, `Display` and `FromStr`, from one list of words.
macro_rules! words {
    ($($(#[$attribute:meta])* $name:ident { $($(#[$member_attribute:meta])* $member:ident $word:tt)* })*) => { $(
        #[derive(
            Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, serde::Serialize, serde::Deserialize, utoipa::ToSchema,
        )]
        $(#[$attribute])*
        pub enum $name { $($(#[$member_attribute])* #[serde(rename = $word)] $member,)* }

        impl $name {
            /// All members.
            pub const ALL: &[Self] = &[$(Self::$member),*];
            /// All words, in the order of [`Self::ALL`].
            pub const WORDS: &[&str] = &[$($word),*];

            /// The member's word.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$member => $word,)* }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::words::UnknownWord;

            fn from_str(word: &str) -> Result<Self, Self::Err> {
                let found = Self::ALL.iter().copied().find(|member| member.as_str() == word);
                found.ok_or_else(|| $crate::words::UnknownWord { word: word.to_owned(), known: Self::WORDS })
            }
        }
    )* };
}

pub(crate) use words;
