//! Topic names and topic filters (4.7, 4.8.2): what is well-formed, what matches, and how a shared subscription reads.

use super::TopicFault;
pub use crate::limits::LEVELS_MAX;

/// Whether a text may be the topic of a message: not empty [MQTT-4.7.3-1], no wildcards [MQTT-3.3.2-2], and of no more
/// levels than are held.
pub fn check_name(name: &str) -> Result<(), TopicFault> {
    check_name_form(name)?;
    check_depth(name)
}

/// Whether a text may be a filter, and has no more levels than are held.
pub fn check_filter(filter: &str) -> Result<(), TopicFault> {
    check_filter_form(filter)?;
    check_depth(filter)
}

/// Whether a topic or filter has no more levels than are held. The standard has no such limit: more of them are refused
/// by the session, not by the codec.
pub(crate) fn check_depth(text: &str) -> Result<(), TopicFault> {
    let separators = text.bytes().filter(|byte| *byte == b'/').count();
    if separators < LEVELS_MAX { Ok(()) } else { Err(TopicFault::TooManyLevels) }
}

/// As [`check_name`], for any number of levels.
pub(super) fn check_name_form(name: &str) -> Result<(), TopicFault> {
    if name.is_empty() {
        return Err(TopicFault::Empty);
    }
    if name.bytes().any(|byte| matches!(byte, b'+' | b'#')) { Err(TopicFault::WildcardInName) } else { Ok(()) }
}

/// As [`check_filter`], for any number of levels: first the wildcards, then, if it begins with `$share/`, what [`shared`]
/// takes apart.
pub(super) fn check_filter_form(filter: &str) -> Result<(), TopicFault> {
    check_wildcards(filter)?;
    let Some(rest) = filter.strip_prefix("$share/") else { return Ok(()) };
    let (name, plain) = rest.split_once('/').ok_or(TopicFault::ShareFilter)?;
    if name.is_empty() || name.contains('+') {
        return Err(TopicFault::ShareName);
    }
    if plain.is_empty() { Err(TopicFault::ShareFilter) } else { Ok(()) }
}

fn check_wildcards(filter: &str) -> Result<(), TopicFault> {
    if filter.is_empty() {
        return Err(TopicFault::Empty);
    }
    let mut levels = filter.split('/');
    while let Some(level) = levels.next() {
        if level.contains('#') && (level != "#" || levels.clone().next().is_some()) {
            return Err(TopicFault::MultiLevel);
        }
        if level.contains('+') && level != "+" {
            return Err(TopicFault::SingleLevel);
        }
    }
    Ok(())
}

/// A shared subscription `$share/{name}/{filter}` taken apart into name and filter; `None` if it is an ordinary one.
#[must_use]
pub fn shared(filter: &str) -> Option<(&str, &str)> {
    filter.strip_prefix("$share/")?.split_once('/')
}

/// What a subscription matches: the filter without its share.
#[must_use]
pub fn plain(filter: &str) -> &str {
    shared(filter).map_or(filter, |(_, plain)| plain)
}

/// Whether a topic filter (not a shared one) matches a topic name. Wildcards do not match a first level that begins with
/// `$` [MQTT-4.7.2-1].
#[must_use]
pub fn matches(filter: &str, name: &str) -> bool {
    if name.starts_with('$') && filter.starts_with(['+', '#']) {
        return false;
    }
    let mut names = name.split('/');
    for level in filter.split('/') {
        if level == "#" {
            return true;
        }
        match names.next() {
            Some(name) if level == "+" || level == name => {}
            _ => return false,
        }
    }
    names.next().is_none()
}

/// Whether a topic filter matches every topic name that another one matches; neither is a shared one.
#[must_use]
pub fn covers(filter: &str, other: &str) -> bool {
    if other.starts_with('$') && filter.starts_with(['+', '#']) {
        return false;
    }
    let is_covered = |level: &str, asked: &str| asked != "#" && (level == "+" || level == asked);
    covers_by_level(filter.split('/'), other, |level| *level == "#", |level, asked| is_covered(level, asked))
}

/// Whether levels one by one allow all that those of a filter (or name) could be; one that `is_rest` allows whatever is left.
pub(crate) fn covers_by_level<L>(
    levels: impl Iterator<Item = L>,
    filter: &str,
    is_rest: impl Fn(&L) -> bool,
    covers: impl Fn(L, &str) -> bool,
) -> bool {
    let mut asked = filter.split('/');
    for level in levels {
        if is_rest(&level) {
            return true;
        }
        if !asked.next().is_some_and(|next| covers(level, next)) {
            return false;
        }
    }
    asked.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mqtt_4_7_names() {
        for good in ["a", "/", "a//b", " ", "$SYS/x", "a/b/c", "Ä/ö"] {
            assert_eq!(check_name(good), Ok(()), "{good}");
        }
        assert_eq!(check_name(""), Err(TopicFault::Empty));
        for bad in ["+", "#", "a/+", "a/#", "a+", "#a"] {
            assert_eq!(check_name(bad), Err(TopicFault::WildcardInName), "{bad}");
        }
        assert_eq!(check_name(&"/".repeat(LEVELS_MAX - 1)), Ok(()));
        assert_eq!(check_name(&"/".repeat(LEVELS_MAX)), Err(TopicFault::TooManyLevels));
    }

    #[test]
    fn mqtt_4_7_1_filters() {
        for good in ["a", "#", "+", "a/#", "+/+", "/+", "+/tennis/#", "sport/+/player1", "$SYS/#", "/", "$share/g/#"] {
            assert_eq!(check_filter(good), Ok(()), "{good}");
        }
        for bad in ["a#", "#/a", "a/#/b", "##", "+#", "a/b#"] {
            assert_eq!(check_filter(bad), Err(TopicFault::MultiLevel), "{bad}");
        }
        for bad in ["a+", "+a", "a/+b/c", "++"] {
            assert_eq!(check_filter(bad), Err(TopicFault::SingleLevel), "{bad}");
        }
        assert_eq!(check_filter(""), Err(TopicFault::Empty));
        assert_eq!(check_filter(&"+/".repeat(LEVELS_MAX)), Err(TopicFault::TooManyLevels));
    }

    #[test]
    fn mqtt_4_8_2_shares() {
        for bad in ["$share//a", "$share/+/a"] {
            assert_eq!(check_filter(bad), Err(TopicFault::ShareName), "{bad}");
        }
        for bad in ["$share/", "$share/g", "$share/g/", "$share/+"] {
            assert_eq!(check_filter(bad), Err(TopicFault::ShareFilter), "{bad}");
        }
        for bad in ["$share/#/a", "$share/g#/a"] {
            assert_eq!(check_filter(bad), Err(TopicFault::MultiLevel), "{bad}");
        }
        assert_eq!(check_filter("$share"), Ok(()));
        assert_eq!(shared("$share/g/a/b"), Some(("g", "a/b")));
        assert_eq!(shared("$share/g//b"), Some(("g", "/b")));
        assert_eq!(shared("$shared/g/a"), None);
    }

    #[test]
    fn a_filter_covers_what_it_matches_all_of() {
        for (filter, other, expected) in [
            ("a/b", "a/b", true),
            ("a/+", "a/b", true),
            ("a/+", "a/+", true),
            ("a/b", "a/+", false),
            ("a/#", "a/+/c", true),
            ("a/#", "a", true),
            ("a/#", "a/#", true),
            ("a/+", "a/#", false),
            ("#", "+/#", true),
            ("#", "$SYS/a", false),
            ("a/b", "a", false),
            ("a", "a/b", false),
        ] {
            assert_eq!(covers(filter, other), expected, "{filter} {other}");
        }
        // Held against names of up to three levels.
        let levels = ["a", "b", "+"];
        let of = |names: &[&str]| -> Vec<String> {
            let two = names.iter().flat_map(|one| names.iter().map(move |two| format!("{one}/{two}")));
            let three = names.iter().flat_map(|one| {
                names.iter().flat_map(move |two| names.iter().map(move |three| format!("{one}/{two}/{three}")))
            });
            names.iter().map(|name| (*name).to_owned()).chain(two).chain(three).collect()
        };
        let plain = of(&levels);
        let filters: Vec<String> =
            plain.iter().map(|filter| format!("{filter}/#")).chain(plain.clone()).chain(["#".to_owned()]).collect();
        let names = of(&["a", "b", "c", "d"]);
        for (filter, other) in filters.iter().flat_map(|filter| filters.iter().map(move |other| (filter, other))) {
            let all = names.iter().filter(|name| matches(other, name)).all(|name| matches(filter, name));
            // Names have three levels here: what is longer is covered by a filter that ends in #.
            assert!(covers(filter, other) == all || (all && other.ends_with('#')), "{filter} {other}");
        }
    }

    #[test]
    fn mqtt_4_7_matching() {
        for (filter, name, expected) in [
            ("sport/tennis/player1/#", "sport/tennis/player1", true),
            ("sport/tennis/player1/#", "sport/tennis/player1/ranking", true),
            ("sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon", true),
            ("sport/#", "sport", true),
            ("#", "a/b", true),
            ("sport/tennis/+", "sport/tennis/player1", true),
            ("sport/tennis/+", "sport/tennis/player1/ranking", false),
            ("sport/+", "sport", false),
            ("sport/+", "sport/", true),
            ("+/+", "/finance", true),
            ("/+", "/finance", true),
            ("+", "/finance", false),
            ("#", "$SYS/a", false),
            ("+/monitor/Clients", "$SYS/monitor/Clients", false),
            ("$SYS/#", "$SYS/a", true),
            ("$SYS/monitor/+", "$SYS/monitor/Clients", true),
            ("ACCOUNTS", "Accounts", false),
            ("a/b", "a/b/", false),
            ("a/b/c", "a/b", false),
        ] {
            assert_eq!(matches(filter, name), expected, "{filter} {name}");
        }
    }
}
