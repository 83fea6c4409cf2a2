//! Requests to a MySQL or MariaDB database: whether a login works, and the few statements that a scheduler's move takes.
//!
//! Connections are kept in small pools, one for each login, and closed soon after their last use. Every request has a time
//! limit. A password is never shown: not by `Debug`, not in an error.
//!
//! May import nothing of the layers above.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use mysql_async::prelude::{FromRow, Queryable};
use mysql_async::{Conn, Error, OptsBuilder, Params, Pool, PoolConstraints, PoolOpts, SslOpts};

/// Connections that a pool has at most: requests of one cluster come one after the other, or two at a time.
const CONNECTIONS: usize = 2;
/// Idle connections are closed after this long.
const IDLE: Duration = Duration::from_secs(30);
/// More pools than this are not kept: a login that has changed leaves its old pool behind.
const POOLS: usize = 512;

/// Whose database, and who asks.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Login {
    /// Its host.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// The name of the database.
    pub database: String,
    /// The user.
    pub user: String,
    /// The password of the user.
    pub password: String,
    /// Whether the connection is encrypted.
    pub tls: bool,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}:{}/{}", self.user, self.host, self.port, self.database)
    }
}

/// Why a request came to nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DatabaseFault {
    /// The server does not know the user, or not with this password.
    #[error("the login is refused: correct the Secret, or the user in the database")]
    LoginRefused,
    /// There is no database of this name, or the user may not see it.
    #[error("there is no such database, or the user has no right to it: create it, or correct database.name")]
    NoDatabase,
    /// A table is missing.
    #[error("a table is missing: {0}")]
    NoTable(String),
    /// The user may log in, and not do this.
    #[error("the user lacks a right: {0}")]
    NoRight(String),
    /// Nothing answers, or not in time.
    #[error("it does not answer: {0}")]
    NoAnswer(String),
    /// The server refused a statement.
    #[error("it refused a statement (error {code}): {message}")]
    Refused {
        /// The server's number of the error.
        code: u16,
        /// In its words.
        message: String,
    },
}

/// `ER_ACCESS_DENIED_ERROR`, and two that mean the same.
const LOGIN_REFUSED: [u16; 3] = [1045, 1251, 1698];
/// `ER_DBACCESS_DENIED_ERROR`, `ER_BAD_DB_ERROR`.
const NO_DATABASE: [u16; 2] = [1044, 1049];
/// `ER_NO_SUCH_TABLE`.
const NO_TABLE: u16 = 1146;
/// `ER_TABLEACCESS_DENIED_ERROR`, `ER_COLUMNACCESS_DENIED_ERROR`.
const NO_RIGHT: [u16; 2] = [1142, 1143];

impl From<Error> for DatabaseFault {
    fn from(error: Error) -> Self {
        let Error::Server(server) = error else { return Self::NoAnswer(error.to_string()) };
        match server.code {
            code if LOGIN_REFUSED.contains(&code) => Self::LoginRefused,
            code if NO_DATABASE.contains(&code) => Self::NoDatabase,
            NO_TABLE => Self::NoTable(server.message),
            code if NO_RIGHT.contains(&code) => Self::NoRight(server.message),
            code => Self::Refused { code, message: server.message },
        }
    }
}

/// Databases, each by its login.
#[derive(Default)]
pub struct Databases(Mutex<HashMap<Login, Pool>>);

impl Databases {
    fn pool(&self, login: &Login) -> Pool {
        let mut pools = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if pools.len() >= POOLS && !pools.contains_key(login) {
            pools.clear();
        }
        pools.entry(login.clone()).or_insert_with(|| new_pool(login)).clone()
    }

    /// A connection, and what is done with it, within a time limit.
    async fn within<T, F>(
        &self,
        login: &Login,
        limit: Duration,
        run: impl FnOnce(Conn) -> F,
    ) -> Result<T, DatabaseFault>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let pool = self.pool(login);
        let work = async { run(pool.get_conn().await?).await };
        match tokio::time::timeout(limit, work).await {
            Ok(done) => Ok(done?),
            Err(_) => Err(DatabaseFault::NoAnswer(format!("not within {} s", limit.as_secs()))),
        }
    }

    /// Whether the database lets this login in.
    ///
    /// # Errors
    /// Why it does not.
    pub async fn answers(&self, login: &Login, limit: Duration) -> Result<(), DatabaseFault> {
        self.within(login, limit, |mut conn| async move { conn.ping().await }).await
    }

    /// The rows of a SELECT.
    ///
    /// # Errors
    /// Why there are none to be had.
    pub async fn rows<T>(
        &self,
        login: &Login,
        limit: Duration,
        statement: &str,
        values: Params,
    ) -> Result<Vec<T>, DatabaseFault>
    where
        T: FromRow + Send + 'static,
    {
        self.within(login, limit, |mut conn| async move { conn.exec(statement, values).await }).await
    }

    /// How many rows an UPDATE has changed.
    ///
    /// # Errors
    /// Why it is not known to be done: without an answer it may have been.
    pub async fn change(
        &self,
        login: &Login,
        limit: Duration,
        statement: &str,
        values: Params,
    ) -> Result<u64, DatabaseFault> {
        self.within(login, limit, |mut conn| async move {
            conn.exec_drop(statement, values).await?;
            Ok(conn.affected_rows())
        })
        .await
    }
}

fn new_pool(login: &Login) -> Pool {
    let constraints = PoolConstraints::new(0, CONNECTIONS).unwrap_or_default();
    let kept = PoolOpts::default()
        .with_constraints(constraints)
        .with_inactive_connection_ttl(IDLE)
        .with_ttl_check_interval(IDLE);
    let options = OptsBuilder::default()
        .ip_or_hostname(login.host.clone())
        .tcp_port(login.port)
        .db_name(Some(login.database.clone()))
        .user(Some(login.user.clone()))
        .pass(Some(login.password.clone()))
        .prefer_socket(false)
        .ssl_opts(login.tls.then(SslOpts::default))
        .pool_opts(kept);
    Pool::new(options)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn login(port: u16) -> Login {
        Login {
            host: "127.0.0.1".to_owned(),
            port,
            database: "powerjob".to_owned(),
            user: "op".to_owned(),
            password: "secret".to_owned(),
            tls: false,
        }
    }

    #[test]
    fn a_password_is_never_shown() {
        assert_eq!(format!("{:?}", login(3306)), "op@127.0.0.1:3306/powerjob");
    }

    #[test]
    fn a_fault_is_told_by_its_number() {
        let server = |code| {
            Error::Server(mysql_async::ServerError { code, message: "m".to_owned(), state: String::new() })
        };
        for (code, expected) in [
            (1045, DatabaseFault::LoginRefused),
            (1049, DatabaseFault::NoDatabase),
            (1146, DatabaseFault::NoTable("m".to_owned())),
            (1142, DatabaseFault::NoRight("m".to_owned())),
            (1205, DatabaseFault::Refused { code: 1205, message: "m".to_owned() }),
        ] {
            assert_eq!(DatabaseFault::from(server(code)), expected);
        }
    }

    #[tokio::test]
    async fn a_port_where_nobody_listens_is_no_answer() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let fault = Databases::default().answers(&login(port), Duration::from_secs(5)).await.unwrap_err();
        assert!(matches!(fault, DatabaseFault::NoAnswer(_)), "{fault}");
        assert!(!fault.to_string().contains("secret"));
    }

    #[tokio::test]
    async fn a_server_that_says_nothing_is_waited_for_no_longer_than_the_limit() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let fault = Databases::default().answers(&login(port), Duration::from_millis(50)).await.unwrap_err();
        assert!(matches!(fault, DatabaseFault::NoAnswer(_)), "{fault}");
    }
}
