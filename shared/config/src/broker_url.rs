//! Where a broker is: looked at when settings are read, so that a mistake is told with its line and not by the broker.
//!
//! Rejected: the parser of the broker's client, which only the queue's implementation may know; and the `url` crate, which
//! takes much that no broker does, such as a vhost in two parts.

use std::fmt;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::schema::Shape;

/// `amqp[s]://[user[:password]@]host[:port][/vhost]`. It may hold a password, so nothing shows it and no refusal repeats it.
#[derive(Clone, PartialEq, Eq)]
pub struct BrokerUrl {
    text: String,
    tls: bool,
    user: bool,
    password: bool,
}

impl BrokerUrl {
    /// All of it, for who connects.
    pub fn reveal(&self) -> &str {
        &self.text
    }

    /// Whether it asks for TLS.
    pub fn is_tls(&self) -> bool {
        self.tls
    }

    /// Whether it names a user.
    pub fn has_user(&self) -> bool {
        self.user
    }

    /// Whether it holds a password.
    pub fn has_password(&self) -> bool {
        self.password
    }

    fn read(text: String) -> Result<Self, &'static str> {
        let (tls, rest) = match text.split_once("://") {
            Some(("amqp", rest)) => (false, rest),
            Some(("amqps", rest)) => (true, rest),
            _ => return Err("it does not begin with amqp:// or amqps://"),
        };
        if rest.contains(|c: char| c.is_whitespace() || c.is_control() || c == '#' || c == '?') {
            return Err("it holds a space, '#' or '?'; in a name or password write them as %20, %23, %3f");
        }
        let (authority, vhost) =
            rest.split_once('/').map_or((rest, None), |(before, vhost)| (before, Some(vhost)));
        match vhost {
            Some("") => {
                return Err(
                    "it ends with '/', which is a vhost without a name; leave it off for the vhost '/'",
                );
            }
            Some(vhost) if vhost.contains('/') => {
                return Err("its vhost holds a '/'; in a name write it as %2f");
            }
            _ => {}
        }
        let (user, address) =
            authority.rsplit_once('@').map_or((None, authority), |(user, host)| (Some(user), host));
        let named = user.is_some_and(|user| !user.is_empty() && !user.starts_with(':'));
        if user.is_some() && !named {
            return Err("there is nothing before its '@' or ':'; name a user there, or leave the '@' off");
        }
        if user.is_some_and(|user| user.contains('@') || user.matches(':').count() > 1) {
            return Err("its user or password holds ':' or '@'; write them as %3a and %40");
        }
        located(address)?;
        let password = user.is_some_and(|user| user.contains(':'));
        if !escapes_are_whole(rest) {
            return Err("it holds a '%' without two hexadecimal digits after it; write '%' itself as %25");
        }
        Ok(Self { text, tls, user: named, password })
    }
}

fn located(address: &str) -> Result<(), &'static str> {
    // An address of IPv6 stands in brackets and has colons of its own.
    let end = address.rfind(']').map_or(0, |end| end + 1);
    let (host, port) = match address[end..].split_once(':') {
        Some((name, port)) => (end + name.len(), Some(port)),
        None => (address.len(), None),
    };
    if host == 0 {
        return Err("it names no host");
    }
    match port {
        Some(port) if !port.parse::<u16>().is_ok_and(|port| port > 0) => {
            Err("its port is not a number from 1 to 65535")
        }
        _ => Ok(()),
    }
}

fn escapes_are_whole(text: &str) -> bool {
    let hex =
        |part: &str| part.as_bytes().get(..2).is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit));
    text.split('%').skip(1).all(hex)
}

impl Shape for BrokerUrl {
    const SHAPE: &'static str = "`amqp://user:password@host:port/vhost`, or `amqps://`, shown nowhere";
}

impl fmt::Debug for BrokerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BrokerUrl(…)")
    }
}

impl<'de> Deserialize<'de> for BrokerUrl {
    /// Not derived: what a derived one says of a value of the wrong type repeats the value.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match toml::Value::deserialize(deserializer)? {
            toml::Value::String(text) => Self::read(text).map_err(D::Error::custom),
            _ => Err(D::Error::custom("it is not text; put it in quotes")),
        }
    }
}

impl Serialize for BrokerUrl {
    /// As nothing, which leaves the key out.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<BrokerUrl, &'static str> {
        BrokerUrl::read(text.to_owned())
    }

    #[test]
    fn the_usual_forms_are_taken() {
        for good in [
            "amqp://localhost",
            "amqp://localhost:5672",
            "amqp://guest:guest@localhost:5672/%2f",
            "amqps://n2s@broker.example/archive",
            "amqp://[::1]:5672/v",
            "amqp://u:p%40ss@10.0.0.7",
        ] {
            read(good).unwrap_or_else(|why| panic!("{good}: {why}"));
        }
        let url = read("amqps://n2s:x@broker/v").unwrap();
        assert!(url.is_tls() && url.has_user() && url.has_password());
        assert!(!read("amqp://n2s@broker").unwrap().has_password());
        assert!(!format!("{url:?}").contains("broker"));
    }

    #[test]
    fn each_mistake_is_told_apart_and_not_repeated() {
        let bad = [
            ("localhost:5672", "begin"),
            ("http://localhost", "begin"),
            ("amqp://", "host"),
            ("amqp://:5672", "host"),
            ("amqp://u:sesame@", "host"),
            ("amqp://host:port", "port"),
            ("amqp://host:0", "port"),
            ("amqp://host:70000/v", "port"),
            ("amqp://[::1]:x", "port"),
            ("amqp://host/", "vhost"),
            ("amqp://host/a/b", "%2f"),
            ("amqp://:sesame@host", "user"),
            ("amqp://@host", "user"),
            ("amqp://u:ses@me@host", "%40"),
            ("amqp://u:ses:me@host", "%3a"),
            ("amqp://u:ses me@host", "%20"),
            ("amqp://u:ses%me@host", "%25"),
            ("amqp://host/v?heartbeat=1", "'?'"),
        ];
        for (text, word) in bad {
            let why = read(text).unwrap_err();
            assert!(why.contains(word), "{text}: {why}");
            assert!(!why.contains("ses"), "{text}: {why}");
        }
    }
}
