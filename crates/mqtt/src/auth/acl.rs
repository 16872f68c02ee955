//! Rules about topics, in the form that operators of brokers know:
//!
//! ```text
//! # for all users
//! topic read public/#
//! pattern write watermaster/v1/aggregators/%c/metadata
//! # for one user, until the next user line
//! user alice
//! topic readwrite alice/#
//! topic deny alice/private/#
//! ```
//!
//! Access is `read`, `write`, `readwrite` (if none is named) or `deny`. In a `pattern`, `%c` is the client identifier and
//! `%u` the user's name. With a file of rules everything is refused that no rule allows; `deny` stands above all. A
//! subscription is allowed if rules allow everything that it could match.

use crate::codec::topic;
use crate::limits::RULES_MAX;

/// The fault of a line of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    /// The line begins with another word than `user`, `topic` or `pattern`.
    #[error("line {line}: the first word is not user, topic or pattern")]
    Word {
        /// Counted from one.
        line: usize,
    },
    /// A user line without a name, or a rule without a filter.
    #[error("line {line}: the name or the filter is missing")]
    Missing {
        /// Counted from one.
        line: usize,
    },
    /// The word in front of the filter is no access. (A filter with a space needs its access named.)
    #[error("line {line}: the access is not read, write, readwrite or deny")]
    Access {
        /// Counted from one.
        line: usize,
    },
    /// The filter is not valid.
    #[error("line {line}: invalid filter: {fault}")]
    Filter {
        /// Counted from one.
        line: usize,
        /// What is wrong with it.
        fault: crate::codec::TopicFault,
    },
    /// `%c` or `%u` beside other characters in its level: what it allows would not be clear.
    #[error("line {line}: %c or %u is not alone in its level")]
    Pattern {
        /// Counted from one.
        line: usize,
    },
    /// More rules than are held.
    #[error("more than {RULES_MAX} rules")]
    TooMany,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AclAccess {
    Read,
    Write,
    Both,
    Deny,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum FilterLevel {
    Word(Box<str>),
    One,
    Rest,
    Client,
    User,
}

#[derive(Clone, Debug)]
struct AclRule {
    /// `None`: for all users.
    user: Option<Box<str>>,
    grant: AclAccess,
    levels: Vec<FilterLevel>,
}

/// The rules.
#[derive(Debug)]
pub struct Rules {
    rules: Vec<AclRule>,
}

/// The user and client that a rule is applied to.
#[derive(Clone, Copy)]
struct RuleSubject<'a> {
    user: Option<&'a str>,
    client: &'a str,
}

impl Rules {
    /// Reads the text of the file.
    pub fn parse(text: &str) -> Result<Rules, RuleError> {
        let mut rules = vec![];
        let mut user: Option<Box<str>> = None;
        for (line, content) in (1..).zip(text.lines()) {
            let content = content.trim();
            if content.is_empty() || content.starts_with('#') {
                continue;
            }
            let (word, rest) = content.split_once(char::is_whitespace).ok_or(RuleError::Missing { line })?;
            let rest = rest.trim();
            match word {
                "user" => user = Some(rest.into()),
                "topic" => rules.push(rule(user.clone(), rest, false, line)?),
                // A pattern applies to all users, wherever it stands.
                "pattern" => rules.push(rule(None, rest, true, line)?),
                _ => return Err(RuleError::Word { line }),
            }
            if rules.len() > RULES_MAX {
                return Err(RuleError::TooMany);
            }
        }
        Ok(Rules { rules })
    }

    /// Whether a publication is allowed.
    #[must_use]
    pub fn may_publish(&self, user: Option<&str>, client: &str, topic: &str) -> bool {
        let subject = RuleSubject { user, client };
        let mut is_allowed = false;
        for rule in self.of(subject).filter(|rule| rule.grant != AclAccess::Read && rule.covers(topic, subject)) {
            if rule.grant == AclAccess::Deny {
                return false;
            }
            is_allowed = true;
        }
        is_allowed
    }

    /// Whether a subscription is allowed.
    #[must_use]
    pub fn may_subscribe(&self, user: Option<&str>, client: &str, filter: &str) -> bool {
        let subject = RuleSubject { user, client };
        let is_denied = self.of(subject).any(|rule| rule.grant == AclAccess::Deny && rule.meets(filter, subject));
        let grants = |rule: &AclRule| matches!(rule.grant, AclAccess::Read | AclAccess::Both);
        !is_denied && self.of(subject).any(|rule| grants(rule) && rule.covers(filter, subject))
    }

    fn of<'a>(&'a self, who: RuleSubject<'a>) -> impl Iterator<Item = &'a AclRule> {
        self.rules.iter().filter(move |rule| rule.user.is_none() || rule.user.as_deref() == who.user)
    }
}

fn rule(user: Option<Box<str>>, rest: &str, is_pattern: bool, line: usize) -> Result<AclRule, RuleError> {
    let (grant, filter) = match rest.split_once(char::is_whitespace) {
        Some(("read", filter)) => (AclAccess::Read, filter),
        Some(("write", filter)) => (AclAccess::Write, filter),
        Some(("readwrite", filter)) => (AclAccess::Both, filter),
        Some(("deny", filter)) => (AclAccess::Deny, filter),
        Some(_) => return Err(RuleError::Access { line }),
        None => (AclAccess::Both, rest),
    };
    let filter = filter.trim();
    topic::check_filter(filter).map_err(|fault| RuleError::Filter { line, fault })?;
    if filter.starts_with("$share/") {
        return Err(RuleError::Filter { line, fault: crate::codec::TopicFault::ShareName });
    }
    let levels = filter
        .split('/')
        .map(|level| match level {
            "+" => Ok(FilterLevel::One),
            "#" => Ok(FilterLevel::Rest),
            "%c" if is_pattern => Ok(FilterLevel::Client),
            "%u" if is_pattern => Ok(FilterLevel::User),
            word if is_pattern && (word.contains("%c") || word.contains("%u")) => Err(RuleError::Pattern { line }),
            word => Ok(FilterLevel::Word(word.into())),
        })
        .collect::<Result<_, _>>()?;
    Ok(AclRule { user, grant, levels })
}

impl FilterLevel {
    /// Whether this level allows all that the other one could be. A name that holds a separator or a wildcard is never
    /// put in place of `%c` or `%u`: it could be more than a name.
    fn covers(&self, asked: &str, who: RuleSubject<'_>) -> bool {
        match self {
            FilterLevel::Rest | FilterLevel::One => asked != "#" || *self == FilterLevel::Rest,
            FilterLevel::Word(word) => **word == *asked,
            FilterLevel::Client => is_plain(who.client) && asked == who.client,
            FilterLevel::User => who.user.is_some_and(|user| is_plain(user) && asked == user),
        }
    }

    /// Whether there is something that both could be.
    fn meets(&self, asked: &str, who: RuleSubject<'_>) -> bool {
        matches!(asked, "+" | "#") || self.covers(asked, who)
    }
}

fn is_plain(name: &str) -> bool {
    !name.is_empty() && !name.contains(['/', '+', '#'])
}

impl AclRule {
    /// Whether everything that the filter (or name) could match is within this rule.
    fn covers(&self, filter: &str, who: RuleSubject<'_>) -> bool {
        let is_rest = |level: &&FilterLevel| **level == FilterLevel::Rest;
        !self.keeps_away_from_dollar(filter)
            && topic::covers_by_level(self.levels.iter(), filter, is_rest, |level, asked| level.covers(asked, who))
    }

    /// Whether there is a topic that both match.
    fn meets(&self, filter: &str, who: RuleSubject<'_>) -> bool {
        if self.keeps_away_from_dollar(filter) {
            return false;
        }
        let mut asked = filter.split('/');
        let mut levels = self.levels.iter();
        loop {
            match (levels.next(), asked.next()) {
                (Some(FilterLevel::Rest), _) | (_, Some("#")) => return true,
                (None, None) => return true,
                (Some(level), Some(next)) if level.meets(next, who) => {}
                _ => return false,
            }
        }
    }

    /// Wildcards do not match a first level that begins with `$` [MQTT-4.7.2-1].
    fn keeps_away_from_dollar(&self, filter: &str) -> bool {
        filter.starts_with('$') && matches!(self.levels.first(), Some(FilterLevel::One | FilterLevel::Rest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "
        # for everybody
        topic read public/#
        topic read $SYS/#
        pattern write watermaster/v1/aggregators/%c/metadata
        pattern read watermaster/v1/aggregators/%c/rates
        pattern users/%u/#
        user alice
        topic alice/+/x
        topic write public/alice
        topic deny public/secret/#
        user bob
        topic readwrite #
    ";

    #[test]
    fn publications() {
        let rules = Rules::parse(FILE).unwrap();
        for (user, client, topic, expected) in [
            (None, "ag1", "watermaster/v1/aggregators/ag1/metadata", true),
            (None, "ag1", "watermaster/v1/aggregators/ag2/metadata", false),
            (None, "ag1", "watermaster/v1/aggregators/ag1/rates", false),
            (None, "+", "watermaster/v1/aggregators/+/metadata", false),
            (None, "a/b", "watermaster/v1/aggregators/a/b/metadata", false),
            (None, "c", "public/x", false),
            (None, "c", "users//x", false),
            (Some("alice"), "c", "users/alice", true),
            (Some("alice"), "c", "users/alice/deep/er", true),
            (Some("alice"), "c", "users/bob/x", false),
            (Some("alice"), "c", "alice/1/x", true),
            (Some("alice"), "c", "alice/1/2/x", false),
            (Some("alice"), "c", "public/alice", true),
            (Some("alice"), "c", "public/secret", false),
            (Some("bob"), "c", "public/secret", true),
            (Some("bob"), "c", "$SYS/x", false),
            (Some("carol"), "c", "alice/1/x", false),
        ] {
            assert_eq!(rules.may_publish(user, client, topic), expected, "{user:?} {client} {topic}");
        }
    }

    #[test]
    fn subscriptions() {
        let rules = Rules::parse(FILE).unwrap();
        for (user, client, filter, expected) in [
            (None, "c", "public/#", true),
            (None, "c", "public", true),
            (None, "c", "public/+/x", true),
            (None, "c", "#", false),
            (None, "c", "+/x", false),
            (None, "c", "$SYS/#", true),
            (None, "ag1", "watermaster/v1/aggregators/ag1/rates", true),
            (None, "ag1", "watermaster/v1/aggregators/+/rates", false),
            (None, "+", "watermaster/v1/aggregators/+/rates", false),
            (None, "#", "watermaster/v1/aggregators/#/rates", false),
            (Some("alice"), "c", "alice/+/x", true),
            (Some("alice"), "c", "alice/#", false),
            (Some("alice"), "c", "public/#", false),
            (Some("alice"), "c", "public/+", false),
            (Some("alice"), "c", "public/news/#", true),
            (Some("bob"), "c", "#", true),
            (Some("bob"), "c", "+/+/#", true),
        ] {
            assert_eq!(rules.may_subscribe(user, client, filter), expected, "{user:?} {client} {filter}");
        }
    }

    #[test]
    fn lines_are_judged() {
        for (text, error) in [
            ("topics a", RuleError::Word { line: 1 }),
            ("\ntopic", RuleError::Missing { line: 2 }),
            ("pattern read a%c/b", RuleError::Pattern { line: 1 }),
            ("topic reed a", RuleError::Access { line: 1 }),
        ] {
            assert_eq!(Rules::parse(text).unwrap_err(), error, "{text}");
        }
        assert!(matches!(Rules::parse("topic read a#"), Err(RuleError::Filter { line: 1, .. })));
        assert!(matches!(Rules::parse("topic $share/g/a"), Err(RuleError::Filter { line: 1, .. })));
    }

    /// What a rule covers it also meets, and what it meets has a topic: held against every short name.
    #[test]
    fn covering_and_meeting_are_what_matching_says() {
        let words = ["a", "b", "+", "#"];
        let mut filters = vec![];
        for first in words {
            filters.push(first.to_owned());
            for second in words {
                filters.push(format!("{first}/{second}"));
                filters.extend(words.map(|third| format!("{first}/{second}/{third}")));
            }
        }
        filters.retain(|filter| topic::check_filter(filter).is_ok());
        // Levels a and b are named by rules; c stands for every other word; four levels for every deeper name.
        let mut names = vec![String::new()];
        for _ in 0..4 {
            let longer: Vec<String> = names
                .iter()
                .flat_map(|name| {
                    ["a", "b", "c"].map(|word| if name.is_empty() { word.to_owned() } else { format!("{name}/{word}") })
                })
                .collect();
            names.extend(longer);
        }
        names.retain(|name| !name.is_empty());
        let subject = RuleSubject { user: None, client: "c" };
        for one in &filters {
            let rule = rule(None, one, false, 1).unwrap();
            for other in &filters {
                let matched: Vec<_> = names.iter().filter(|name| topic::matches(other, name)).collect();
                let all = matched.iter().all(|name| topic::matches(one, name));
                let any = matched.iter().any(|name| topic::matches(one, name));
                // A rule may be taken to cover less than it does (`+/#` and `#`), never more.
                let covers = rule.covers(other, subject);
                assert!(covers == all || (all && other.ends_with('#')), "{one} covers {other}: {covers}");
                assert_eq!(rule.meets(other, subject), any, "{one} meets {other}");
            }
        }
    }
}
