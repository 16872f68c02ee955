//! The scripts: each is one indivisible step of the store.

use std::sync::LazyLock;

use redis::{Cmd, Script};

macro_rules! scripts {
    ($($name:ident = $file:literal),* $(,)?) => {
        $(pub(super) static $name: LazyLock<NamedScript> =
            LazyLock::new(|| NamedScript::new(concat!(include_str!("common.lua"), include_str!($file))));)*

        /// Every script's text.
        pub(super) fn all() -> impl Iterator<Item = &'static str> {
            [$($name.text),*].into_iter()
        }
    };
}

scripts! {
    TAKE = "take.lua",
    PUBLISH = "publish.lua",
    PLAIN = "plain.lua",
    SUBSCRIBE = "subscribe.lua",
    SETTLE = "settle.lua",
    DETACH = "detach.lua",
    LOAD = "load.lua",
    HEARD = "heard.lua",
    SWEEP = "sweep.lua",
    RUN = "run.lua",
}

/// A script and the name under which Redis knows it.
pub(super) struct NamedScript {
    text: &'static str,
    hash: String,
}

impl NamedScript {
    fn new(text: &'static str) -> Self {
        Self { text, hash: Script::new(text).get_hash().to_owned() }
    }

    /// A call without keys: all of them are on one server.
    pub(super) fn call(&self) -> Cmd {
        let mut cmd = redis::cmd("EVALSHA");
        cmd.arg(&self.hash).arg(0);
        cmd
    }
}
