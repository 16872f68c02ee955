//! Where Redis is: `redis://…` for one server, `redis+sentinel://[user:password@]host:port[,host:port…]/master[/db]` for the
//! master that the sentinels name.

use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::sentinel::{SentinelClient, SentinelNodeConnectionInfo, SentinelServerType};
use redis::{AsyncConnectionConfig, Client, ErrorKind, RedisConnectionInfo, RedisError, RedisResult, Value};

use super::script;

/// How long a connection may take to be made.
const CONNECT_WAIT: Duration = Duration::from_secs(1);
/// The port of a sentinel whose address has none.
const SENTINEL_PORT: u16 = 26_379;

/// Why an address is invalid.
#[derive(Debug, thiserror::Error)]
pub enum RedisAddressError {
    /// Neither `redis://` nor `redis+sentinel://`.
    #[error("invalid store address: it does not begin with redis:// or redis+sentinel://")]
    Scheme,
    /// The sentinels' address names no master.
    #[error("invalid store address: no master's name behind the sentinels, as in redis+sentinel://host:port/master")]
    NoMaster,
    /// The client does not take it.
    #[error("invalid store address: {0}")]
    Redis(#[from] RedisError),
    /// The database's number is none.
    #[error("invalid database number: {0}")]
    Database(#[from] std::num::ParseIntError),
}

/// Where Redis is.
#[derive(Clone, Debug)]
pub(crate) enum RedisAddress {
    One(Client),
    Sentinels { sentinels: Vec<String>, master: String, info: RedisConnectionInfo },
}

impl RedisAddress {
    /// Reads an address.
    ///
    /// # Errors
    /// It is none.
    pub(crate) fn parse(text: &str) -> Result<Self, RedisAddressError> {
        if text.starts_with("redis://") || text.starts_with("unix://") || text.starts_with("redis+unix://") {
            return Ok(Self::One(Client::open(text)?));
        }
        let rest = text.strip_prefix("redis+sentinel://").ok_or(RedisAddressError::Scheme)?;
        let (user, rest) = rest.rsplit_once('@').map_or((None, rest), |(user, rest)| (Some(user), rest));
        let (hosts, path) = rest.split_once('/').ok_or(RedisAddressError::NoMaster)?;
        let (master, database) = path.split_once('/').map_or((path, None), |(master, db)| (master, Some(db)));
        if master.is_empty() || hosts.is_empty() {
            return Err(RedisAddressError::NoMaster);
        }
        let mut info = RedisConnectionInfo::default();
        if let Some(database) = database {
            info = info.set_db(database.parse()?);
        }
        if let Some(user) = user {
            let (name, password) = user.split_once(':').unwrap_or(("", user));
            if !name.is_empty() {
                info = info.set_username(name);
            }
            info = info.set_password(password);
        }
        let sentinels = hosts.split(',').map(|host| match host.contains(':') {
            true => format!("redis://{host}"),
            false => format!("redis://{host}:{SENTINEL_PORT}"),
        });
        Ok(Self::Sentinels { sentinels: sentinels.collect(), master: master.to_owned(), info })
    }

    /// A connection to the master with all scripts loaded, and the id of the server's run.
    pub(super) async fn connect(&self, answer_wait: Duration) -> RedisResult<(MultiplexedConnection, String)> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_WAIT))
            .set_response_timeout(Some(answer_wait));
        let mut connection = match self {
            Self::One(client) => client.get_multiplexed_async_connection_with_config(&config).await?,
            Self::Sentinels { sentinels, master, info } => {
                let node = SentinelNodeConnectionInfo::default().set_redis_connection_info(info.clone());
                let master_kind = SentinelServerType::Master;
                let mut client = SentinelClient::build(sentinels.clone(), master.clone(), Some(node), master_kind)?;
                client.get_async_connection_with_config(&config).await?
            }
        };
        let role: Vec<Value> = redis::cmd("ROLE").query_async(&mut connection).await?;
        if !matches!(role.first(), Some(Value::BulkString(role)) if role == b"master") {
            // A master that has stepped down since the sentinels named it.
            return Err(RedisError::from((ErrorKind::Io, "not the master")));
        }
        let server: String = redis::cmd("INFO").arg("server").query_async(&mut connection).await?;
        let run = server.lines().find_map(|line| line.strip_prefix("run_id:")).unwrap_or_default().to_owned();
        let mut load = redis::pipe();
        for text in script::all() {
            load.cmd("SCRIPT").arg("LOAD").arg(text).ignore();
        }
        let mut note_run = script::GENERATION.call();
        note_run.arg(&run);
        load.add_command(note_run).ignore();
        load.exec_async(&mut connection).await?;
        Ok((connection, run))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read() {
        assert!(matches!(RedisAddress::parse("redis://127.0.0.1:6379/2"), Ok(RedisAddress::One(_))));
        let Ok(RedisAddress::Sentinels { sentinels, master, .. }) =
            RedisAddress::parse("redis+sentinel://:secret@a:1,b/mymaster/3")
        else {
            panic!("no address")
        };
        assert_eq!(sentinels, ["redis://a:1", "redis://b:26379"]);
        assert_eq!(master, "mymaster");
        assert!(matches!(RedisAddress::parse("redis+sentinel://a:1"), Err(RedisAddressError::NoMaster)));
        assert!(matches!(RedisAddress::parse("http://a"), Err(RedisAddressError::Scheme)));
    }
}
