//! Every route, on one screen.

use actix_web::body::BoxBody;
use actix_web::dev::{ServiceFactory, ServiceRequest, ServiceResponse};
use actix_web::http::Method;
use actix_web::http::header::ALLOW;
use actix_web::middleware::from_fn;
use actix_web::web::{self, Data};
use actix_web::{App, HttpResponse, Resource, Route};

use super::{AppState, Error, blobs, listings, manifests, metrics, middleware, ops, referrers, token, uploads};

/// The application: the one function that the server and the tests both call.
pub fn app(
    state: Data<AppState>,
) -> App<impl ServiceFactory<ServiceRequest, Config = (), Response = ServiceResponse<BoxBody>, Error = actix_web::Error, InitError = ()>> {
    let prefix = state.prefix.trim_end_matches('/').to_owned();
    let api = web::scope(&format!("{prefix}/v2"))
        .wrap(from_fn(middleware::authenticate))
        .service(read_only("", || web::route().to(ops::base)))
        .service(read_only("/", || web::route().to(ops::base)))
        .service(read_only("/_catalog", || web::route().to(listings::catalog)))
        .service(read_only("/{name:.*}/tags/list", || web::route().to(listings::tags)))
        .service(read_only("/{name:.*}/referrers/{digest}", || web::route().to(referrers::get)))
        .service(
            other_methods(web::resource("/{name:.*}/manifests/{reference}"), "DELETE, GET, HEAD, PUT")
                .route(web::get().to(manifests::get))
                .route(web::head().to(manifests::get))
                .route(web::put().to(manifests::put))
                .route(web::delete().to(manifests::delete)),
        )
        .service(other_methods(web::resource("/{name:.*}/blobs/uploads{slash:/?}"), "POST").route(web::post().to(uploads::begin)))
        .service(
            other_methods(web::resource("/{name:.*}/blobs/uploads/{upload}"), "DELETE, GET, HEAD, PATCH, PUT")
                .route(web::get().to(uploads::look))
                .route(web::head().to(uploads::look))
                .route(web::patch().to(uploads::append))
                .route(web::put().to(uploads::finish))
                .route(web::delete().to(uploads::cancel)),
        )
        .service(
            other_methods(web::resource("/{name:.*}/blobs/{digest}"), "DELETE, GET, HEAD")
                .route(web::get().to(blobs::get))
                .route(web::head().to(blobs::get))
                .route(web::delete().to(blobs::delete)),
        )
        .default_service(web::to(ops::unknown_in_api));
    let metrics_path = state.metrics_path.as_deref().unwrap_or("/metrics");
    let metrics = read_only(metrics_path, || web::route().to(metrics::get)).wrap(from_fn(middleware::authenticate));
    App::new()
        .app_data(state)
        .wrap(from_fn(middleware::observe))
        .service(api)
        .service(
            other_methods(web::resource(format!("{prefix}/auth/token")), "GET, POST")
                .route(web::get().to(token::get))
                .route(web::post().to(token::post)),
        )
        .service(read_only(&format!("{prefix}/auth/jwks.json"), || web::route().to(token::keys)))
        .service(read_only("/", || web::route().to(ops::root)))
        .service(metrics)
        .service(read_only("/healthz", || web::route().to(ops::healthy)))
        .service(read_only("/readyz", || web::route().to(ops::ready)))
        .default_service(web::to(ops::unknown))
}

/// A resource that is only looked at.
fn read_only(path: &str, handler: impl Fn() -> Route) -> Resource {
    let resource = other_methods(web::resource(path), "GET, HEAD");
    resource.route(handler().method(Method::GET)).route(handler().method(Method::HEAD))
}

/// Answers OPTIONS, which browsers send before a request of a page, and the methods that a resource does not know, with those that it does.
fn other_methods(resource: Resource, allow: &'static str) -> Resource {
    resource.default_service(web::to(move |method: Method| async move {
        if method == Method::OPTIONS {
            Ok(HttpResponse::Ok().insert_header((ALLOW, allow)).finish())
        } else {
            Err(Error::MethodNotAllowed { allow })
        }
    }))
}
