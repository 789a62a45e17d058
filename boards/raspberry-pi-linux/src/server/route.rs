//! From a request to what answers it.

use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::{Body as _, Bytes, Incoming};
use hyper::header::CONTENT_TYPE;
use hyper::{Request, Response, StatusCode};
use serde::Serialize;
use tokio::time::timeout;

use super::Shared;
use super::body::{Body, JSON, json};
use super::completion::complete;
use super::failure::Failure;
use super::form::ChatRequest;

/// Methods of what is only looked at.
const READ: &str = "GET, HEAD";

/// A model, in OpenAI's form.
#[derive(Serialize)]
struct Model<'m> {
    id: &'m str,
    object: &'static str,
    created: u64,
    owned_by: &'static str,
}

#[derive(Serialize)]
struct Models<'m> {
    object: &'static str,
    data: [Model<'m>; 1],
}

/// Answers a request.
pub(super) async fn respond(shared: &Shared, request: Request<Incoming>) -> Response<Body> {
    answer(shared, request).await.unwrap_or_else(|failure| failure.response())
}

async fn answer(shared: &Shared, request: Request<Incoming>) -> Result<Response<Body>, Failure> {
    let path = request.uri().path().to_owned();
    match path.as_str() {
        "/v1/chat/completions" => {
            allow(&request, "POST")?;
            let body = body(shared, request).await?;
            let asked = ChatRequest::parse(&body)?.checked(&shared.assistant.about().model)?;
            complete(shared, asked).await
        }
        "/v1/models" => {
            allow(&request, READ)?;
            Ok(json(StatusCode::OK, &Models { object: "list", data: [model(shared)] }))
        }
        "/healthz" => {
            allow(&request, READ)?;
            match shared.assistant.is_running() {
                true => Ok(Response::new(Body::whole("ok\n"))),
                false => Err(Failure::stopped()),
            }
        }
        path => match path.strip_prefix("/v1/models/") {
            Some(name) => {
                allow(&request, READ)?;
                let known = model(shared);
                match known.id == name {
                    true => Ok(json(StatusCode::OK, &known)),
                    false => Err(Failure::no_model(name, known.id)),
                }
            }
            None => Err(Failure::no_path(path)),
        },
    }
}

fn model(shared: &Shared) -> Model<'_> {
    let id = &*shared.assistant.about().model;
    Model { id, object: "model", created: shared.began, owned_by: "sprat" }
}

/// Refuses other methods than some.
fn allow(request: &Request<Incoming>, methods: &'static str) -> Result<(), Failure> {
    let method = request.method().as_str();
    if methods.split(", ").any(|allowed| allowed == method) {
        return Ok(());
    }
    let message = format!("{method} is not for {}: use {methods}", request.uri().path());
    let failure = Failure::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", message);
    Err(failure.with_header(("allow", methods)))
}

/// All of a request's body, which says that it is JSON: a page in a browser cannot make it say so without asking first.
async fn body(shared: &Shared, request: Request<Incoming>) -> Result<Bytes, Failure> {
    let kind = request.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    if !kind.eq_ignore_ascii_case(JSON) {
        let message = format!("the body's content type is {kind:?}; {JSON} was expected");
        return Err(Failure::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", message));
    }
    let most = shared.bounds.body_bytes;
    let too_large = || {
        let message = format!("the body has more than {most} bytes: shorten the messages");
        Failure::new(StatusCode::PAYLOAD_TOO_LARGE, "request_too_large", message)
    };
    let body = request.into_body();
    if body.size_hint().lower() > most as u64 {
        return Err(too_large());
    }
    let collected = timeout(shared.bounds.body, Limited::new(body, most).collect()).await;
    let collected = collected.map_err(|_| {
        let message = format!("the body did not come within {} seconds", shared.bounds.body.as_secs_f32());
        Failure::new(StatusCode::REQUEST_TIMEOUT, "request_timeout", message)
    })?;
    match collected {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(too_large()),
        Err(error) => Err(Failure::invalid(None, format!("the body cannot be read: {error}"))),
    }
}
