//! The lists of tags and of repositories, page by page.

use actix_web::http::header::{ContentType, LINK};
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use serde_json::{Value, json};
use url::form_urlencoded;

use super::access::{Access, CatalogAccess, Pull};
use super::answer::json_line;
use super::extract::PageQuery;
use super::{AppState, Error};
use crate::registry::{Rest, Sight};

/// How many repositories a page has when the request does not say.
const CATALOG_PAGE: usize = 100;

/// `GET /v2/_catalog`.
pub(super) async fn catalog(access: CatalogAccess, request: HttpRequest, state: Data<AppState>) -> Result<HttpResponse, Error> {
    let page = PageQuery::of(&request)?;
    let size = page.size.unwrap_or_else(|| CATALOG_PAGE.min(state.live().catalog_max_entries));
    if size > state.live().catalog_max_entries {
        return Err(Error::PageSizeInvalid { size: size.into() });
    }
    let sight = Sight { admits: &|name| access.shows(name), leads_below: &|path| access.shows_below(path) };
    let found = access.registry().catalog(page.last.as_deref(), size, sight).await?;
    let names: Vec<&str> = found.items.iter().map(|name| name.as_str()).collect();
    Ok(respond(&state, "v2/_catalog", (names.last().copied(), size, found.rest), json!({"repositories": names})))
}

/// `GET /v2/NAME/tags/list`.
pub(super) async fn tags(access: Access<Pull>, request: HttpRequest, state: Data<AppState>) -> Result<HttpResponse, Error> {
    let page = PageQuery::of(&request)?;
    let size = page.size.map_or(usize::MAX, |size| size.min(state.live().tags_max));
    let name = access.repository().name();
    let found = access.repository().tags(page.last.as_deref(), size).await?;
    let tags: Vec<&str> = found.items.iter().map(|tag| tag.as_str()).collect();
    let path = format!("v2/{name}/tags/list");
    Ok(respond(&state, &path, (tags.last().copied(), size, found.rest), json!({"name": name.as_str(), "tags": tags})))
}

/// One page, with the address of the next one (RFC 8288).
fn respond(state: &AppState, path: &str, page: (Option<&str>, usize, Rest), body: Value) -> HttpResponse {
    let mut response = HttpResponse::Ok();
    if let (Some(last), size, Rest::More) = page {
        let query = form_urlencoded::Serializer::new(String::new()).append_pair("last", last).append_pair("n", &size.to_string()).finish();
        // A path, whatever other addresses are made of: so does registry:2, and clients resolve it.
        let next = state.live().locations.path(&format!("{path}?{query}"));
        response.insert_header((LINK, format!("<{next}>; rel=\"next\"")));
    }
    response.content_type(ContentType::json()).body(json_line(&body))
}
