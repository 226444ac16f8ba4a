//! A validation on the server, watched over the connection that asked for it: letting go of the connection ends the run.

use reqwest::{Method, Response};

use super::Remote;
use super::call::{Call, unreadable};
use crate::seam::{ProofProgress, ProofWatch, SeamError, ValidateReport, ValidateRequest};
use crate::wire::calls::ValidateEvent;

/// A line is a report at most: a thousand damages a store.
const LINE_BYTES_MAX: usize = 64 * 1024 * 1024;

pub(super) fn interrupted() -> SeamError {
    let source = anyhow::anyhow!("it was interrupted; the next run goes on with the oldest proofs");
    SeamError::Other { doing: "validating on the server", source }
}

/// Lines of an answer that is still being made.
struct Lines {
    response: Response,
    read: Vec<u8>,
}

impl Lines {
    async fn next(&mut self) -> Result<ValidateEvent, SeamError> {
        loop {
            if let Some(end) = self.read.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.read.drain(..=end).collect();
                return serde_json::from_slice(&line).map_err(unreadable);
            }
            let chunk = self.response.chunk().await;
            match chunk.map_err(reqwest::Error::without_url) {
                Ok(Some(chunk)) if self.read.len() < LINE_BYTES_MAX => self.read.extend_from_slice(&chunk),
                Ok(Some(_)) => return Err(lost(anyhow::anyhow!("a line of its answer has no end"))),
                Ok(None) => return Err(lost(anyhow::anyhow!("the answer ended before the report"))),
                Err(error) => return Err(lost(error.into())),
            }
        }
    }
}

/// Not begun again by itself: one in N would then be another one.
fn lost(why: anyhow::Error) -> SeamError {
    let source = why.context("the server went away; what was proven until then is kept, so run it again");
    SeamError::Other { doing: "validating on the server", source }
}

impl Remote {
    pub(super) async fn validated(
        &self,
        request: &ValidateRequest,
        watch: &dyn ProofWatch,
    ) -> Result<ValidateReport, SeamError> {
        let response = self.line.begin(&Call::new(Method::POST, "/v1/validate").json(request)).await?;
        let mut lines = Lines { response, read: Vec::new() };
        let mut before = ProofProgress::default();
        loop {
            match lines.next().await? {
                ValidateEvent::Report(report) => return Ok(report),
                ValidateEvent::Problem(problem) => return Err(problem.into()),
                ValidateEvent::Progress(now) => {
                    tell(watch, before, now);
                    before = now;
                }
            }
        }
    }
}

fn tell(watch: &dyn ProofWatch, before: ProofProgress, now: ProofProgress) {
    let more = |of: fn(&ProofProgress) -> u64| of(&now).saturating_sub(of(&before));
    watch.total(more(|p| p.copies_total), more(|p| p.bytes_total));
    watch.checked(more(|p| p.copies), more(|p| p.bytes), more(|p| p.damaged));
}
