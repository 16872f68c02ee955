//! stub
use crate::app::App;
#[derive(Clone)]
pub struct Context {
    app: App,
}
impl Context {
    pub fn new(app: App) -> Self {
        Self { app }
    }
}
pub fn router(_c: Context) -> axum::Router {
    axum::Router::new()
}
pub fn document() -> utoipa::openapi::OpenApi {
    utoipa::openapi::OpenApi::default()
}
