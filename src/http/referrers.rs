//! The list of manifests that refer to another one.

use actix_web::http::header::{CONTENT_TYPE, LINK};
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use serde_json::json;
use url::form_urlencoded;

use super::access::{Access, Pull};
use super::extract::{self, Query};
use super::{AppState, Error};
use crate::oci::Descriptor;
use crate::oci::media_type::OCI_INDEX;
use crate::registry::Rest;

/// Where a page is cut: clients read indexes of up to 4 MiB.
const PAGE: usize = 3 * 1024 * 1024;

/// `GET /v2/NAME/referrers/DIGEST`: always an index, empty for a subject that nothing refers to.
pub(super) async fn get(access: Access<Pull>, request: HttpRequest, state: Data<AppState>) -> Result<HttpResponse, Error> {
    let subject = extract::digest(&request)?;
    let query = Query::of(&request);
    let (filter, last) = (query.get("artifactType"), query.get("last"));
    let matches = |one: &Descriptor| filter.is_none_or(|kind| one.artifact_type.as_deref() == Some(kind));
    let is_after = |one: &Descriptor| last.is_none_or(|last| one.digest.as_str() > last);
    let mut found = access.repository().referrers(&subject).await?;
    found.retain(|one| matches(one) && is_after(one));
    let rest = cut(&mut found);
    let mut response = HttpResponse::Ok();
    response.insert_header((CONTENT_TYPE, OCI_INDEX));
    if filter.is_some() {
        response.insert_header(("oci-filters-applied", "artifactType"));
    }
    if let (Some(end), Rest::More) = (found.last(), rest) {
        let mut next = form_urlencoded::Serializer::new(String::new());
        next.append_pair("last", end.digest.as_str());
        if let Some(kind) = filter {
            next.append_pair("artifactType", kind);
        }
        let path = format!("v2/{}/referrers/{subject}?{}", access.repository().name(), next.finish());
        let url = state.live().locations.url(&state.live().proxies.client(&request), &path);
        response.insert_header((LINK, format!("<{url}>; rel=\"next\"")));
    }
    let index = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": found});
    Ok(response.body(index.to_string()))
}

/// Shortens a list to what one page holds, at least one.
fn cut(found: &mut Vec<Descriptor>) -> Rest {
    let mut length = 0;
    let fitting = found.iter().take_while(|one| {
        length += serde_json::to_vec(one).map_or(0, |text| text.len());
        length <= PAGE
    });
    let fitting = fitting.count().max(1);
    let rest = if fitting < found.len() { Rest::More } else { Rest::Nothing };
    found.truncate(fitting);
    rest
}
