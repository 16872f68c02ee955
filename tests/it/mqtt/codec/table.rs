//! Every line of `packets.txt`: what must be accepted is, and says the same when it is written again; what must be
//! refused is, for the reason that the table gives.

use super::notation::{cases, code, decode, encode, version};

#[test]
fn every_packet_of_the_table_has_its_verdict() {
    let mut wrong = vec![];
    for case in cases() {
        let verdict = match decode(case.connection, &case.bytes) {
            Ok(Some(_)) => "ok".to_owned(),
            Ok(None) => "incomplete".to_owned(),
            Err(error) => format!("{:02X} ({error})", code(&error)),
        };
        let expected = case.refusal.map_or("ok".to_owned(), |code| format!("{code:02X}"));
        if !verdict.starts_with(&expected) {
            wrong.push(format!("{} {:?}: {verdict}, expected {expected}", case.name, case.connection));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn what_is_accepted_is_written_as_the_same_packet() {
    for case in cases().iter().filter(|case| case.refusal.is_none()) {
        let packet = decode(case.connection, &case.bytes).unwrap().unwrap();
        let again = encode(&packet, version(case.connection, &packet));
        assert_eq!(decode(case.connection, &again).unwrap().unwrap(), packet, "{}", case.name);
    }
}

#[test]
fn the_table_is_not_short() {
    let (accepted, refused): (Vec<_>, Vec<_>) = cases().into_iter().partition(|case| case.refusal.is_none());
    assert!(accepted.len() >= 60 && refused.len() >= 190, "{} and {}", accepted.len(), refused.len());
}
