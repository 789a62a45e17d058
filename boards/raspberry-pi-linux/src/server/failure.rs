//! What a client is told when there is no answer, in OpenAI's form.

use hyper::header::{HeaderName, HeaderValue};
use hyper::{Response, StatusCode};
use serde::Serialize;

use super::body::{Body, json};
use crate::error::AskError;

/// When a client may come again: in a second.
const AGAIN: (&str, &str) = ("retry-after", "1");

/// An answer that is none.
#[derive(Debug)]
pub(super) struct Failure {
    status: StatusCode,
    code: &'static str,
    param: Option<&'static str>,
    message: String,
    /// Name and value of a header.
    header: Option<(&'static str, &'static str)>,
}

#[derive(Serialize)]
pub(super) struct Form<'f> {
    error: Error<'f>,
}

#[derive(Serialize)]
struct Error<'f> {
    message: &'f str,
    r#type: &'static str,
    param: Option<&'static str>,
    code: &'static str,
}

impl Failure {
    pub(super) fn new(status: StatusCode, code: &'static str, message: String) -> Self {
        Self { status, code, param: None, message, header: None }
    }

    /// Something about the request is wrong: the parameter of that name, if it is one.
    pub(super) fn invalid(param: Option<&'static str>, message: String) -> Self {
        Self { param, ..Self::new(StatusCode::BAD_REQUEST, "invalid_value", message) }
    }

    pub(super) fn no_path(path: &str) -> Self {
        let message =
            format!("nothing is at {path}; there are /v1/chat/completions, /v1/models and /healthz");
        Self::new(StatusCode::NOT_FOUND, "not_found", message)
    }

    pub(super) fn no_model(found: &str, expected: &str) -> Self {
        let message = format!("there is no model {found:?}; the one that is served is {expected:?}");
        let failure = Self::new(StatusCode::NOT_FOUND, "model_not_found", message);
        Self { param: Some("model"), ..failure }
    }

    pub(super) fn stopped() -> Self {
        let failure =
            Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", AskError::Stopped.to_string());
        failure.with_header(AGAIN)
    }

    /// Adds a header.
    pub(super) fn with_header(self, header: (&'static str, &'static str)) -> Self {
        Self { header: Some(header), ..self }
    }

    /// The error as it stands in a body.
    pub(super) fn form(&self) -> Form<'_> {
        let r#type = match self.status.is_server_error() {
            true => "server_error",
            false => "invalid_request_error",
        };
        Form { error: Error { message: &self.message, r#type, param: self.param, code: self.code } }
    }

    pub(super) fn response(self) -> Response<Body> {
        let mut response = json(self.status, &self.form());
        if let Some((name, value)) = self.header {
            let (name, value) = (HeaderName::from_static(name), HeaderValue::from_static(value));
            response.headers_mut().insert(name, value);
        }
        response
    }
}

impl From<AskError> for Failure {
    fn from(error: AskError) -> Self {
        let message = error.to_string();
        let messages = Self::invalid(Some("messages"), message.clone());
        match error {
            AskError::Full { .. } => {
                Self::new(StatusCode::TOO_MANY_REQUESTS, "queue_full", message).with_header(AGAIN)
            }
            AskError::Stopped => Self::stopped(),
            AskError::TooLong { .. } | AskError::TooManyBytes { .. } => {
                Self { code: "context_length_exceeded", ..messages }
            }
            AskError::Refused(_) => messages,
        }
    }
}
