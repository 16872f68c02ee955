//! What the standards ask of a server beyond the form of packets, each by its identifier (those of MQTT 5 unless said
//! otherwise). The same cases run against one replica in memory, one on a SQLite file, two replicas that share memory
//! (publisher and subscriber on different ones), and two replicas on Redis (`tests/real`).

pub(crate) mod answers;
pub(crate) mod client;
pub(crate) mod connect;
pub(crate) mod exchange;
pub(crate) mod flow;
pub(crate) mod operator;
pub(crate) mod retain;
pub(crate) mod route;
pub(crate) mod wills;

use std::any::Any;
use std::net::SocketAddr;

use mqtt::Broker;
use mqtt::codec::{Connect, Qos, Will};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

use self::client::{Client, connect, lasting, meet, will};

/// Replicas to be tested.
pub(crate) struct House {
    pub(crate) replicas: Vec<SocketAddr>,
    pub(crate) brokers: Vec<Broker>,
    pub(crate) runtime: Option<Runtime>,
    /// Servers that stop with it.
    pub(crate) _servers: Vec<Box<dyn Any>>,
}

impl House {
    /// Starts what `broker` makes, so many times.
    pub(crate) fn start(count: usize, broker: impl AsyncFn() -> Broker, servers: Vec<Box<dyn Any>>) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let (mut replicas, mut brokers) = (vec![], vec![]);
        for _ in 0..count {
            runtime.block_on(async {
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                replicas.push(listener.local_addr().unwrap());
                let broker = broker().await;
                let listening = broker.clone();
                tokio::spawn(async move { listening.listen(listener).await });
                brokers.push(broker);
            });
        }
        Self { replicas, brokers, runtime: Some(runtime), _servers: servers }
    }

    /// Where the first comes in, and where the other does.
    pub(crate) fn here(&self) -> SocketAddr {
        self.replicas[0]
    }

    pub(crate) fn there(&self) -> SocketAddr {
        self.replicas[self.replicas.len() - 1]
    }

    /// Waits until so many seconds have passed for the broker: until a will with that delay is published.
    pub(crate) fn await_delay(&self, delay_s: u32) {
        let mut heir = Client::new(self.there(), connect(""));
        let topic = format!("delay/{}", heir.stream.local_addr().unwrap().port());
        heir.subscribe(&topic, Qos::AtLeastOnce);
        let delayed = Will { delay_s: Some(delay_s), ..will(&topic, "over") };
        let mut client = Client::new(self.here(), Connect { will: Some(delayed), ..lasting(&topic) });
        meet(&mut client, &mut heir);
        client.vanish();
        assert_eq!(heir.take(), "over");
    }
}

impl Drop for House {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

macro_rules! cases {
    ($house:expr; $($module:ident: $($name:ident)*;)*) => {
        $($(
            #[test]
            fn $name() {
                session::$module::$name(&$house);
            }
        )*)*
    };
}

/// Every case, on a house.
macro_rules! all_cases {
    ($house:expr) => {
        cases! { $house;
            connect:
                mqtt_3_1_0_2_a_second_connect_ends_the_connection
                mqtt_3_1_2_4_a_clean_start_forgets
                mqtt_3_1_2_5_a_session_is_resumed
                a_session_is_its_users_alone
                mqtt_3_1_2_5_a_session_is_resumed_for_the_last_time
                mqtt_3_1_2_24_a_client_that_takes_no_connack_is_refused
                mqtt_3_14_4_a_goodbye_ends_the_session_however_soon_the_client_is_back
                mqtt_3_1_2_22_silence_ends_the_connection
                mqtt_3_1_2_23_a_session_ends_when_it_expires
                mqtt_3_1_3_6_a_client_without_a_name_gets_one
                mqtt_3_1_3_8_in_3_1_1_only_a_clean_session_may_have_no_name
                mqtt_3_1_4_3_a_newer_connection_takes_over
                mqtt_3_14_2_2_an_ending_session_cannot_be_made_to_last
                mqtt_4_12_0_1_unknown_authentication_is_refused
                mqtt_4_13_a_replica_that_stops_says_so;
            answers:
                mqtt_3_1_4_6_what_follows_a_refused_connect_is_not_carried_out
                mqtt_3_3_1_1_what_may_have_been_sent_says_so
                mqtt_4_3_an_acknowledgement_of_another_qos_ends_the_connection
                mqtt_3_3_1_3_dup_of_the_publisher_is_not_passed_on
                mqtt_3_3_2_7_an_alias_ends_with_its_connection
                mqtt_3_3_4_7_more_than_the_receive_maximum_ends_the_connection
                mqtt_3_3_4_10_a_full_window_holds_nothing_else_back
                mqtt_3_8_4_6_each_filter_has_its_answer_in_order
                mqtt_3_10_4_3_what_was_begun_before_an_unsubscribe_is_completed
                mqtt_4_3_3_11_an_unreleased_id_is_the_same_message_whatever_it_says
                mqtt_4_6_0_2_acknowledgements_keep_the_order_of_messages
                mqtt_4_6_0_4_releases_keep_the_order_of_what_was_received
                mqtt_3_8_4_what_is_said_after_suback_arrives
                mqtt_4_7_3_deeper_topics_than_are_held_are_refused_alone
                mqtt_3_8_4_3_a_filter_that_is_held_takes_no_more_room
                mqtt_4_7_3_4_topics_are_compared_as_they_are
                mqtt_4_8_2_5_what_a_lost_member_left_goes_to_another
                mqtt_4_8_2_6_what_a_member_refuses_goes_to_no_other;
            exchange:
                mqtt_4_3_each_qos_has_its_exchange
                mqtt_4_3_2_5_an_acknowledged_id_is_that_of_a_new_message
                mqtt_4_3_3_7_what_has_begun_does_not_expire
                mqtt_4_6_0_1_what_is_sent_again_keeps_its_order
                mqtt_4_4_0_2_what_was_refused_is_not_sent_again
                mqtt_3_1_2_4_a_clean_session_leaves_only_what_is_retained
                mqtt_3_1_2_14_a_will_is_published_as_it_says
                mqtt_3_3_1_7_the_last_retained_message_is_kept_and_an_empty_one_is_not
                mqtt_3_1_3_8_a_client_identifier_that_is_too_long_is_refused
                mqtt_3_1_4_5_of_3_1_1_what_follows_a_refused_connect_is_not_carried_out
                mqtt_3_3_2_11_every_topic_alias_is_taken
                mqtt_3_3_4_5_each_copy_has_the_identifier_of_its_subscription
                mqtt_3_1_2_29_no_answer_says_more_than_its_reason
                mqtt_3_12_4_1_a_ping_is_answered;
            wills:
                mqtt_3_1_2_8_a_will_is_published_when_the_connection_is_lost
                mqtt_3_1_2_10_a_goodbye_removes_the_will
                mqtt_3_14_4_3_a_goodbye_removes_the_will_however_soon_the_client_is_back
                mqtt_4_7_2_a_will_keeps_the_rules_of_topics
                mqtt_3_14_4_3_a_goodbye_may_ask_for_the_will
                mqtt_3_1_3_9_a_return_before_the_delay_keeps_the_will_in
                mqtt_3_1_3_9_a_delayed_will_is_published_when_the_session_ends
                mqtt_3_1_2_15_a_will_is_retained;
            retain:
                mqtt_3_3_1_5_a_retained_message_is_kept_replaced_and_cleared
                mqtt_3_3_1_9_retain_handling
                mqtt_3_3_1_12_retain_as_published
                mqtt_3_3_2_6_a_message_expires
                mqtt_3_3_2_5_what_has_expired_leaves_by_itself;
            flow:
                mqtt_3_3_4_9_the_receive_maximum_is_kept
                mqtt_4_3_3_10_a_repeated_qos_2_is_published_once
                mqtt_4_4_0_1_what_was_not_acknowledged_is_sent_again
                mqtt_4_4_0_1_pubrel_is_sent_again
                mqtt_4_6_0_6_order_is_kept
                mqtt_4_6_0_6_order_is_kept_through_a_backlog
                mqtt_3_1_2_24_what_is_too_large_is_not_sent
                mqtt_3_3_2_topic_aliases_to_the_client
                mqtt_3_6_an_unknown_packet_id_is_told
                mqtt_3_4_2_1_what_a_full_queue_refuses_is_told
                mqtt_3_3_2_5_a_full_queue_of_expired_messages_takes_new_ones
                mqtt_4_13_a_client_that_is_too_slow_is_sent_away;
            operator:
                operators_see_and_end_sessions
                operators_see_and_clear_retained_messages;
            route:
                mqtt_3_3_2_15_what_travels_with_a_message_arrives
                mqtt_3_3_4_2_overlapping_subscriptions_give_the_highest_qos
                mqtt_3_3_4_3_subscription_identifiers_come_along
                mqtt_3_8_3_3_no_local
                mqtt_3_8_4_3_a_later_subscription_replaces
                mqtt_3_8_4_8_qos_is_the_lower_one
                mqtt_3_10_4_unsubscribed_is_silent
                mqtt_4_7_2_1_dollar_topics_stand_apart
                mqtt_4_8_2_4_one_member_of_a_share_gets_each_message
                mqtt_4_8_2_4_members_get_their_share_wherever_they_are
                mqtt_4_8_2_what_waits_for_a_group_goes_to_the_member_that_comes_first
                mqtt_3_1_1_and_5_understand_each_other;
        }
    };
}
