//! `GET /v1/tokens`, `POST /v1/tokens`, `DELETE /v1/tokens/{id}`: the tokens of the caller's namespace.

use axum::Json as Answer;
use axum::http::StatusCode;

use super::PathText;
use crate::http::auth::Caller;
use crate::http::error::Problem;
use crate::http::json::Json;
use crate::http::shapes;

pub(super) async fn list(caller: Caller) -> Result<Answer<shapes::Tokens>, Problem> {
    Ok(Answer(shapes::Tokens { tokens: caller.scheduler.tokens().await?.into_iter().map(Into::into).collect() }))
}

pub(super) async fn create(
    caller: Caller,
    Json(request): Json<shapes::CreateToken>,
) -> Result<(StatusCode, Answer<shapes::NewToken>), Problem> {
    let new = request.to_new(caller.scheduler.now())?;
    let (token, record) = caller.scheduler.create_token(new).await?;
    Ok((StatusCode::CREATED, Answer(shapes::NewToken { token: token.secret().into(), record: record.into() })))
}

pub(super) async fn revoke(caller: Caller, PathText(id): PathText) -> Result<StatusCode, Problem> {
    if caller.scheduler.revoke_token(&id).await? {
        return Ok(StatusCode::NO_CONTENT);
    }
    Err(Problem::new(StatusCode::NOT_FOUND, "token-not-found", "there is no token of this id in this namespace"))
}
