//! `[health]`.

use crate::schema::section;

section! {
    /// Where `n2s serve dispatcher`, `worker` and `validator` answer `GET /metrics`, `GET /healthz` (it lives) and `GET /readyz` (it can do its work, or why
    /// not). The API answers both itself.
    HealthConfig at "health" {
        /// Address and port; `--health` wins over it. Port 0 takes a free one. It is for those who watch over the process: it knows no tokens and
        /// no TLS, and says nothing but the state of the parts. Unset: nowhere.
        listen: Option<String> = None,
    }
}
