//! The debug listener of registry:2: health, metrics, and a switch to take the registry out of service. Whoever reaches it may use it.

use actix_web::body::BoxBody;
use actix_web::dev::{ServiceFactory, ServiceRequest, ServiceResponse};
use actix_web::web::{self, Data};
use actix_web::{App, HttpResponse};

use super::{AppState, metrics};

/// What the debug listener answers; metrics at a path of their own, if at all.
pub fn debug_app(
    state: Data<AppState>,
    metrics_path: Option<&str>,
) -> App<
    impl ServiceFactory<ServiceRequest, Config = (), Response = ServiceResponse<BoxBody>, Error = actix_web::Error, InitError = ()> + use<>,
> {
    let app = App::new()
        .app_data(state)
        .route("/debug/health", web::get().to(health))
        .route("/debug/health/down", web::post().to(down))
        .route("/debug/health/up", web::post().to(up))
        .route("/debug/vars", web::to(of_go))
        .route("/debug/pprof{rest:.*}", web::to(of_go));
    match metrics_path {
        Some(path) => app.route(path, web::get().to(all_metrics)),
        None => app,
    }
}

async fn health(state: Data<AppState>) -> HttpResponse {
    let report = state.health.report();
    let mut response = if report.is_empty() { HttpResponse::Ok() } else { HttpResponse::ServiceUnavailable() };
    response.json(report)
}

async fn down(state: Data<AppState>) -> HttpResponse {
    tracing::warn!("the registry is taken out of service at the debug listener");
    state.health.set_by_hand(Some("manual check".to_owned()));
    HttpResponse::Ok().finish()
}

async fn up(state: Data<AppState>) -> HttpResponse {
    tracing::warn!("the registry is put back into service at the debug listener");
    state.health.set_by_hand(None);
    HttpResponse::Ok().finish()
}

async fn all_metrics(state: Data<AppState>) -> HttpResponse {
    metrics::render(&state).await
}

async fn of_go() -> HttpResponse {
    HttpResponse::NotFound().body("this shows the insides of a Go program, which this registry is not; see /metrics\n")
}
