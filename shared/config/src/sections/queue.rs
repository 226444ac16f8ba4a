//! `[queue]`.

use std::path::PathBuf;

use crate::broker_url::BrokerUrl;
use crate::schema::section;

section! {
    /// How jobs reach the workers. The catalog holds them; a queue only tells who is waiting, and what is lost there is told again.
    QueueConfig at "queue" {
        /// A RabbitMQ broker, 3.10 or later. Give each catalog a vhost of its own. Unset: within the process, without a broker. A
        /// password is best in the file below, or in the variable `N2S_QUEUE__URL` instead of here.
        url: Option<BrokerUrl> = None,
        /// A file that holds the password of the url's user and nothing else.
        password_file: Option<PathBuf> = None,
        /// A PEM file of authorities that are trusted besides the system's to vouch for the broker. For `amqps`.
        tls_ca: Option<PathBuf> = None,
        /// How long a job waits in the broker's queue before it is told of again: what a purged queue has lost waits so long. A
        /// broker that lost everything is noticed at once.
        unclaimed_secs: u64 = 300,
    }
}
