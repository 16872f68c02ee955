//! The scripts: each is one indivisible step of the store. In front of each stand the prefix of all keys, the limits and
//! the statuses of replies, so that Rust and Lua have them from one place, and `common.lua`.

use std::sync::LazyLock;

use redis::{Cmd, Script};

use super::PREFIX;
use super::reply::{DONE, DONE_BEFORE, FENCED, NO_ROOM, NOT_OWNER, NOT_RETAINED, REPEATED, SESSIONS_FULL};
use crate::limits::{
    CLOCK_SKEW_MS, INBOX_BYTES_MAX, INBOX_MAX, QUEUE_BYTES_MAX, QUEUE_MESSAGES_MAX, QUEUED_BYTES_MAX,
    RETAINED_BYTES_MAX, RETAINED_MAX, SESSIONS_MAX, SHARE_RELEASE_COUNT, SHARED_ENTRY_BYTES, SHARED_MESSAGE_BYTES_MIN,
    USER_SESSIONS_MAX,
};

macro_rules! scripts {
    ($($name:ident = $file:literal),* $(,)?) => {
        $(pub(super) static $name: LazyLock<NamedScript> =
            LazyLock::new(|| NamedScript::new(concat!(include_str!("common.lua"), include_str!($file))));)*

        /// The text of every script.
        pub(super) fn all() -> impl Iterator<Item = &'static str> {
            [$($name.text.as_str()),*].into_iter()
        }
    };
}

scripts! {
    CLAIM = "claim.lua",
    PUBLISH_BATCH = "publish_batch.lua",
    SUBSCRIBE = "subscribe.lua",
    ACKNOWLEDGE = "acknowledge.lua",
    DETACH = "detach.lua",
    LOAD = "load.lua",
    TRIM_INBOX = "trim_inbox.lua",
    SWEEP = "sweep.lua",
    GENERATION = "generation.lua",
    SETTLE = "settle.lua",
    ROUTED = "routed.lua",
    RELEASE_SHARE = "release_share.lua",
}

/// A script and the hash under which Redis has it.
pub(super) struct NamedScript {
    text: String,
    hash: String,
}

impl NamedScript {
    fn new(body: &str) -> Self {
        let text = format!(
            "local P = '{PREFIX}'\n\
             local LIMITS = {{ queue_messages = {QUEUE_MESSAGES_MAX}, queue_bytes = {QUEUE_BYTES_MAX}, \
             inbox_entries = {INBOX_MAX}, inbox_bytes = {INBOX_BYTES_MAX}, \
             retained_messages = {RETAINED_MAX}, retained_bytes = {RETAINED_BYTES_MAX}, \
             queued_bytes = {QUEUED_BYTES_MAX}, shared_entry_bytes = {SHARED_ENTRY_BYTES}, sessions = {SESSIONS_MAX}, user_sessions = {USER_SESSIONS_MAX}, \
             share_release = {SHARE_RELEASE_COUNT}, clock_skew_ms = {CLOCK_SKEW_MS}, \
             shared_bytes = {SHARED_MESSAGE_BYTES_MIN} }}\n\
             local DONE, NOT_RETAINED, DONE_BEFORE = {DONE}, {NOT_RETAINED}, {DONE_BEFORE}\n\
             local FENCED, REPEATED, NO_ROOM, SESSIONS_FULL = {FENCED}, {REPEATED}, {NO_ROOM}, {SESSIONS_FULL}\n\
             local NOT_OWNER = {NOT_OWNER}\n{body}"
        );
        let hash = Script::new(&text).get_hash().to_owned();
        Self { text, hash }
    }

    /// A call without keys: all of them are on one server.
    pub(super) fn call(&self) -> Cmd {
        let mut cmd = redis::cmd("EVALSHA");
        cmd.arg(&self.hash).arg(0);
        cmd
    }
}
