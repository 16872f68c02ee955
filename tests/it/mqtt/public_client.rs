//! A client that others wrote, in both versions, as an application uses it.

use std::time::Duration;

use rumqttc::{Client, Event, MqttOptions, Packet, QoS, v5};

use super::session::House;

const MESSAGES: usize = 30;

#[test]
fn rumqttc_speaks_3_1_1() {
    let house = House::embedded();
    let mut options = MqttOptions::new("rumqttc-3", "127.0.0.1", house.here().port());
    options.set_keep_alive(Duration::from_secs(5));
    let (client, mut connection) = Client::new(options, 100);
    client.subscribe("public/#", QoS::ExactlyOnce).unwrap();
    let mut heard = vec![];
    for event in connection.iter() {
        match event.unwrap() {
            Event::Incoming(Packet::SubAck(_)) => {
                for number in 0..MESSAGES {
                    let qos = [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce][number % 3];
                    client.publish(format!("public/{}", number % 3), qos, false, number.to_string()).unwrap();
                }
            }
            Event::Incoming(Packet::Publish(publish)) => {
                heard.push(String::from_utf8(publish.payload.to_vec()).unwrap().parse::<usize>().unwrap());
                if heard.len() == MESSAGES {
                    break;
                }
            }
            _ => {}
        }
    }
    heard.sort_unstable();
    assert_eq!(heard, (0..MESSAGES).collect::<Vec<_>>());
}

#[test]
fn rumqttc_speaks_5() {
    use v5::mqttbytes::QoS;
    use v5::mqttbytes::v5::Packet;
    let house = House::embedded();
    let mut options = v5::MqttOptions::new("rumqttc-5", "127.0.0.1", house.here().port());
    options.set_keep_alive(Duration::from_secs(5));
    options.set_topic_alias_max(Some(5));
    let (client, mut connection) = v5::Client::new(options, 100);
    client.subscribe("public/#", QoS::ExactlyOnce).unwrap();
    let mut heard = vec![];
    for event in connection.iter() {
        match event.unwrap() {
            v5::Event::Incoming(Packet::SubAck(_)) => {
                for number in 0..MESSAGES {
                    let qos = [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce][number % 3];
                    client.publish(format!("public/{}", number % 3), qos, false, number.to_string()).unwrap();
                }
            }
            v5::Event::Incoming(Packet::Publish(publish)) => {
                heard.push(String::from_utf8(publish.payload.to_vec()).unwrap().parse::<usize>().unwrap());
                if heard.len() == MESSAGES {
                    break;
                }
            }
            _ => {}
        }
    }
    heard.sort_unstable();
    assert_eq!(heard, (0..MESSAGES).collect::<Vec<_>>());
}
