//! What has to be known to use a broker. The URL holds a password, so nothing here prints it.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use zeroize::Zeroizing;

use crate::address::Address;
use crate::error::BrokerError;

/// Where the broker is and how to use it; [`Options::new`] fills in what is usually right.
#[derive(Clone)]
pub struct Options {
    /// `amqp://user:password@host:port/vhost`, or `amqps://`.
    pub url: Zeroizing<String>,
    /// The password, instead of the URL's.
    pub password: Option<Zeroizing<String>>,
    /// Certificates (PEM) trusted besides the system's, for `amqps`.
    pub tls_ca: Option<PathBuf>,
    /// Messages of one store that may wait for their confirmation at once.
    pub confirm_window: usize,
    /// How long a publish may take once there is a connection, for which it waits as long; what is not confirmed by then counts as not published.
    pub publish_timeout: Duration,
    /// How long any other answer of the broker may take.
    pub answer_timeout: Duration,
    /// Silence of twice this ends a connection.
    pub heartbeat: Duration,
    /// The least prefetch of a consumer, whatever it asks for.
    pub prefetch_min: u16,
    /// The most.
    pub prefetch_max: u16,
    /// How often a message may come back before it is poison. A queue keeps what it was declared with.
    pub delivery_limit: u32,
    /// About how many messages a store's queue takes before it refuses. A queue keeps what it was declared with.
    pub length_max: u32,
    /// How long a consumer that holds nothing waits for a message before it asks whether any are there.
    pub silence: Duration,
    /// The longest pause before the next attempt to connect.
    pub reconnect_max: Duration,
}

impl Options {
    /// The defaults for a broker at `url`.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: Zeroizing::new(url.into()),
            password: None,
            tls_ca: None,
            confirm_window: 1_000,
            publish_timeout: Duration::from_secs(10),
            answer_timeout: Duration::from_secs(10),
            heartbeat: Duration::from_secs(10),
            prefetch_min: 1,
            prefetch_max: 1_000,
            delivery_limit: 20,
            length_max: 100_000,
            silence: Duration::from_mins(1),
            reconnect_max: Duration::from_secs(5),
        }
    }

    /// Whether a broker could be connected to with these; asks none. No error repeats the URL.
    pub fn check(&self) -> Result<(), BrokerError> {
        Address::read(self).map(drop)
    }

    pub(crate) fn prefetch(&self, wanted: usize) -> u16 {
        let wanted = u16::try_from(wanted).unwrap_or(u16::MAX);
        wanted.min(self.prefetch_max).max(self.prefetch_min).max(1)
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options").field("tls_ca", &self.tls_ca).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_password_is_not_printed() {
        let options = Options::new("amqp://user:sesame@host/");
        assert!(!format!("{options:?}").contains("sesame"));
    }

    #[test]
    fn prefetch_is_bounded() {
        let options = Options { prefetch_max: 50, ..Options::new("") };
        assert_eq!([0, 7, 1 << 20].map(|wanted| options.prefetch(wanted)), [1, 7, 50]);
    }
}
