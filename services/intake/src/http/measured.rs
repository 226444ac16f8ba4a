//! Counts requests and how long their answers took to begin, and gives those that belong to a trace their span.

use std::time::Instant;

use axum::extract::{MatchedPath, Request};
use axum::http::Method;
use axum::middleware::Next;
use axum::response::Response;
use n2s_domain::Traceparent;
use n2s_telemetry::metrics::families;
use n2s_telemetry::trace::{Kind, Span, within};

/// By the route's pattern, never by the path: what anybody may ask for would be labels without bound.
pub(super) async fn count(request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let method = name(request.method());
    let route = route.as_ref().map_or("none", MatchedPath::as_str);
    let asked = request.headers().get("traceparent").and_then(|value| value.to_str().ok()?.parse().ok());
    let mut span = span(route, method, asked);
    let context = span.as_ref().map(Span::context).or(asked);
    let response = within(context, next.run(request)).await;
    if let Some(span) = &mut span {
        let status = response.status();
        span.number("http.response.status_code", status.as_u16().into());
        if status.is_server_error() {
            span.failed(status.as_str());
        }
    }
    families::HTTP_SECONDS.with([route, method]).since(begun);
    families::HTTP_REQUESTS.with([route, method, class(response.status().as_u16())]).increment();
    response
}

/// Calls that belong to a trace, and those that begin a push; whoever asks for health all day belongs to none.
fn span(route: &str, method: &'static str, asked: Option<Traceparent>) -> Option<Span> {
    if asked.is_none() && !(method == "POST" && route == "/v1/pushes") {
        return None;
    }
    let mut span = Span::begin(format!("{method} {route}"), Kind::Server, asked)?;
    span.text("http.request.method", method);
    span.text("http.route", route);
    Some(span)
}

/// A client may make up methods.
fn name(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

fn class(status: u16) -> &'static str {
    match status / 100 {
        1 => "1xx",
        2 => "2xx",
        3 => "3xx",
        4 => "4xx",
        _ => "5xx",
    }
}
