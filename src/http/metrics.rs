//! `GET /metrics`, on the main listener for whom the configuration names, and on the debug listener for whoever reaches it.

use actix_web::HttpResponse;
use actix_web::web::Data;
use ipnet::IpNet;

use super::access::MetricsAccess;
use super::{AppState, Error};

/// The text format of Prometheus.
const TEXT_FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// `metrics`: where metrics are served on the main listener, and for whom. Either condition suffices.
#[derive(Clone, Debug)]
pub struct MetricsOptions {
    /// The path, beside `http.prefix`.
    pub path: String,
    /// The networks from which they may be read without credentials.
    pub from: Vec<IpNet>,
    /// Who may read them, as logs name them.
    pub users: Vec<String>,
}

/// On the main listener.
pub(super) async fn get(_: MetricsAccess, state: Data<AppState>) -> Result<HttpResponse, Error> {
    Ok(render(&state).await)
}

/// Everything that is counted, with what is looked up at this moment.
pub(super) async fn render(state: &AppState) -> HttpResponse {
    state.gate.sample(&state.outlets.metrics).await;
    HttpResponse::Ok().content_type(TEXT_FORMAT).body(state.outlets.metrics.render())
}
