//! Embeds the MQTT broker in a program: clients connect at 127.0.0.1:1883, and the program reads their sensors.
//!
//! `cargo run --example embedded_broker`, then for instance `mosquitto_pub -t sensors/1 -m 21.5`. Ctrl-C stops it.

#![expect(clippy::print_stdout, reason = "an example writes for its user")]

use mqtt::codec::Qos;
use mqtt::{Broker, Settings};
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let broker = Broker::embedded(Settings::default()).await?;
    let listener = TcpListener::bind("127.0.0.1:1883").await?;
    let accepting = broker.clone();
    tokio::spawn(async move { accepting.listen(listener).await });
    let mut client = broker.client("reader").await?;
    client.subscribe("sensors/#", Qos::AtLeastOnce).await?;
    loop {
        tokio::select! {
            message = client.next() => match message {
                Some(message) => println!("{}: {} bytes", message.topic, message.payload.len()),
                None => break,
            },
            _ = tokio::signal::ctrl_c() => break,
        }
    }
    drop(client);
    broker.stop().await;
    Ok(())
}
