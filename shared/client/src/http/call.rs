//! One call, and calling again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use n2s_domain::Entropy;
use n2s_domain::backoff::RetryPolicy;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::{Client, Method, Response, StatusCode, Url};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::connect::{HttpError, HttpOptions};
use crate::seam::SeamError;
use crate::wire::problem::Problem;

/// A server that was never reached is not waited for as long as one that went away.
const FIRST_PATIENCE: Duration = Duration::from_secs(5);
const PACE: RetryPolicy =
    RetryPolicy { attempts_max: u32::MAX, base: Duration::from_millis(100), cap: Duration::from_secs(5) };
/// However long a server asks to be left alone.
const RETRY_AFTER_MAX: Duration = Duration::from_mins(1);

/// The way to a server.
pub(super) struct Line {
    client: Client,
    base: Url,
    bearer: HeaderValue,
    patience: Duration,
    entropy: Arc<dyn Entropy>,
    /// Whether it ever answered.
    reached: AtomicBool,
}

/// A request that can be made more than once.
#[derive(Clone, Debug)]
pub(super) struct Call {
    method: Method,
    path: String,
    query: Vec<(&'static str, String)>,
    headers: HeaderMap,
    body: Bytes,
}

impl Call {
    pub(super) fn new(method: Method, path: impl Into<String>) -> Self {
        let (query, headers) = (Vec::new(), HeaderMap::new());
        Self { method, path: path.into(), query, headers, body: Bytes::new() }
    }

    pub(super) fn get(path: impl Into<String>) -> Self {
        Self::new(Method::GET, path)
    }

    /// A parameter, where there is a value.
    pub(super) fn query(mut self, name: &'static str, value: Option<impl ToString>) -> Self {
        self.query.extend(value.map(|value| (name, value.to_string())));
        self
    }

    pub(super) fn header(mut self, name: &'static str, value: impl std::fmt::Display) -> Self {
        let value = HeaderValue::from_str(&format!("{value}")).expect("numbers, hex and ids are plain text");
        self.headers.insert(name, value);
        self
    }

    pub(super) fn body(mut self, kind: &'static str, body: Bytes) -> Self {
        self.headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        self.body = body;
        self
    }

    pub(super) fn json(self, body: &impl Serialize) -> Self {
        let json = serde_json::to_vec(body).expect("records serialise into memory");
        self.body("application/json", json.into())
    }
}

/// Why a call came to nothing.
#[derive(Debug)]
pub(super) enum Miss {
    /// It may work later. Whether the server did what it was asked is not known.
    Later(Option<Duration>, SeamError),
    /// It will not.
    Never(SeamError),
}

/// Waiting between calls, until patience ends.
#[derive(Debug)]
pub(super) struct Pace {
    began: Instant,
    misses: u32,
}

impl Line {
    pub(super) fn new(client: Client, base: Url, options: &HttpOptions) -> Result<Self, HttpError> {
        let bearer = HeaderValue::from_str(&format!("Bearer {}", options.token.0.trim()));
        let mut bearer = bearer.map_err(|_| HttpError::Token)?;
        bearer.set_sensitive(true);
        let (patience, entropy) = (options.patience, Arc::clone(&options.entropy));
        Ok(Self { client, base, bearer, patience, entropy, reached: AtomicBool::new(false) })
    }

    pub(super) fn server(&self) -> &str {
        self.base.as_str()
    }

    pub(super) fn entropy(&self) -> &dyn Entropy {
        &*self.entropy
    }

    pub(super) fn pace() -> Pace {
        Pace { began: Instant::now(), misses: 0 }
    }

    /// Waits before a call is made again; gives the error back when patience has ended.
    pub(super) async fn wait(
        &self,
        pace: &mut Pace,
        after: Option<Duration>,
        error: SeamError,
    ) -> Result<(), SeamError> {
        pace.misses = pace.misses.saturating_add(1);
        let patience = if self.reached.load(Ordering::Relaxed) {
            self.patience
        } else {
            self.patience.min(FIRST_PATIENCE)
        };
        let delay = PACE.delay(pace.misses, after.map(|after| after.min(RETRY_AFTER_MAX)), &*self.entropy);
        if pace.began.elapsed() + delay > patience {
            return Err(error);
        }
        if pace.misses == 3 {
            tracing::warn!(server = self.server(), %error, "the server does not answer as it should; trying again");
        }
        tokio::time::sleep(delay).await;
        Ok(())
    }

    /// Calls until it works, is refused, or patience ends.
    pub(super) async fn call(&self, call: &Call) -> Result<Bytes, SeamError> {
        let mut pace = Self::pace();
        loop {
            match self.once(call).await {
                Ok(body) => return Ok(body),
                Err(Miss::Never(error)) => return Err(error),
                Err(Miss::Later(after, error)) => self.wait(&mut pace, after, error).await?,
            }
        }
    }

    /// The same, with a record for an answer.
    pub(super) async fn ask<T: DeserializeOwned>(&self, call: &Call) -> Result<T, SeamError> {
        read(&self.call(call).await?)
    }

    /// The same, for an answer that is read while it is made: calls until one begins.
    pub(super) async fn begin(&self, call: &Call) -> Result<Response, SeamError> {
        let mut pace = Self::pace();
        loop {
            match self.answered(call).await {
                Ok(response) => return Ok(response),
                Err(Miss::Never(error)) => return Err(error),
                Err(Miss::Later(after, error)) => self.wait(&mut pace, after, error).await?,
            }
        }
    }

    /// Calls once.
    pub(super) async fn once(&self, call: &Call) -> Result<Bytes, Miss> {
        self.answered(call).await?.bytes().await.map_err(|error| self.lost(error))
    }

    /// Calls once, up to the beginning of a good answer.
    async fn answered(&self, call: &Call) -> Result<Response, Miss> {
        let mut url = self.base.clone();
        url.set_path(&format!("{}{}", self.base.path().trim_end_matches('/'), call.path));
        if !call.query.is_empty() {
            url.query_pairs_mut()
                .extend_pairs(call.query.iter().map(|(name, value)| (*name, value.as_str())));
        }
        let request = self
            .client
            .request(call.method.clone(), url)
            .headers(call.headers.clone())
            .header(AUTHORIZATION, self.bearer.clone())
            .body(call.body.clone());
        let request = match n2s_telemetry::trace::current() {
            Some(trace) => request.header("traceparent", trace.to_string()),
            None => request,
        };
        let response = request.send().await.map_err(|error| self.lost(error))?;
        self.reached.store(true, Ordering::Relaxed);
        let (status, after) = (response.status(), retry_after(&response));
        if status.is_success() {
            return Ok(response);
        }
        let body = response.bytes().await.map_err(|error| self.lost(error))?;
        let error = refusal(status, &body);
        match status {
            StatusCode::TOO_MANY_REQUESTS
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::BAD_GATEWAY
            | StatusCode::GATEWAY_TIMEOUT
            | StatusCode::REQUEST_TIMEOUT => Err(Miss::Later(after, error)),
            _ => Err(Miss::Never(error)),
        }
    }

    fn lost(&self, error: reqwest::Error) -> Miss {
        let certificate = untrusted(&error);
        let source =
            anyhow::Error::new(error.without_url()).context(format!("{} does not answer", self.server()));
        let error = SeamError::Other { doing: "calling the server", source };
        if certificate { Miss::Never(error) } else { Miss::Later(None, error) }
    }
}

/// A certificate does not become another by waiting.
fn untrusted(error: &reqwest::Error) -> bool {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(at) = cause {
        if at.to_string().contains("invalid peer certificate") {
            return true;
        }
        cause = at.source();
    }
    false
}

/// Reads an answer.
pub(super) fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, SeamError> {
    serde_json::from_slice(body).map_err(unreadable)
}

/// An answer that a server of this kind does not give.
pub(super) fn unreadable(error: impl std::error::Error + Send + Sync + 'static) -> SeamError {
    let source = anyhow::Error::new(error).context("is it an n2s server of this version?");
    SeamError::Other { doing: "reading the server's answer", source }
}

fn retry_after(response: &Response) -> Option<Duration> {
    let value = response.headers().get(RETRY_AFTER)?.to_str().ok()?;
    value.parse().ok().map(Duration::from_secs)
}

fn refusal(status: StatusCode, body: &[u8]) -> SeamError {
    match serde_json::from_slice::<Problem>(body) {
        Ok(problem) => problem.into(),
        Err(_) => SeamError::Other {
            doing: "calling the server",
            source: anyhow::anyhow!("it answered {status}, and not as an n2s server does"),
        },
    }
}
