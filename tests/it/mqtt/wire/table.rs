//! Every packet of the table that a client may send or must not, said to a broker: what must be refused ends the
//! connection for the reason of the table (in 3.1.1 without a word), what must be accepted does not.

use mqtt::codec::{Packet, Version};

use super::super::codec::notation::{Connection, cases};
use super::{plain, raw};

#[tokio::test(flavor = "multi_thread")]
async fn what_must_be_refused_ends_the_connection() {
    let address = plain().await;
    let mut wrong = vec![];
    for (number, case) in cases().into_iter().enumerate() {
        let (Connection::ToServer(version), Some(code)) = (case.connection, case.refusal) else { continue };
        let mut client = raw(address, version).await;
        client.connect(version, &format!("refused{number}")).await;
        client.say_bytes(&case.bytes).await;
        let heard = client.hear().await;
        let is_right = match (version, &heard) {
            (Version::V3, None) => true,
            // A client that says farewell, however wrongly, need not be answered.
            (Version::V5, None) => case.bytes[0] >> 4 == 14,
            (Version::V5, Some(Packet::Disconnect(disconnect))) => {
                disconnect.reason.code() == code && client.hear().await.is_none()
            }
            _ => false,
        };
        if !is_right {
            wrong.push(format!("{}: {code:02X} expected, {heard:?}", case.name));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_first_packet_is_refused() {
    let address = plain().await;
    let mut wrong = vec![];
    for case in cases() {
        let (Connection::First, Some(code)) = (case.connection, case.refusal) else { continue };
        // CONNACK of 3.1.1 and 5 differ; what comes is compared as bytes.
        let mut client = raw(address, Version::V5).await;
        client.say_bytes(&case.bytes).await;
        let heard = client.hear_bytes().await;
        let is_right = heard.is_empty() || (heard[0] == 0x20 && (heard.get(3) == Some(&code) || heard.len() == 4));
        if !is_right {
            wrong.push(format!("{}: {code:02X} expected, {heard:02X?}", case.name));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_must_be_accepted_is_served() {
    let address = plain().await;
    let mut wrong = vec![];
    for (number, case) in cases().into_iter().enumerate() {
        let (Connection::ToServer(version), None) = (case.connection, case.refusal) else { continue };
        // The packet is good; what it means ends the connection (a farewell, an alias that was never set, a step of an
        // authentication that never began).
        let ends = case.bytes[0] >> 4 >= 14 || case.name.contains("an empty topic with an alias");
        let mut client = raw(address, version).await;
        client.connect(version, &format!("accepted{number}")).await;
        client.say_bytes(&case.bytes).await;
        if client.is_served().await == ends {
            wrong.push(case.name);
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
