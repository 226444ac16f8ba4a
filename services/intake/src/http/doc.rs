//! What the OpenAPI document says besides what the handlers say of themselves.

use utoipa::Modify;
use utoipa::OpenApi;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "n2s",
        description = "Push, pull and operate archives that lie on several stores at once. See services/intake/API.md.",
        license(name = "Apache-2.0 OR MIT", identifier = "Apache-2.0 OR MIT")
    ),
    components(schemas(n2s_client::wire::problem::Problem, n2s_client::wire::calls::BlobHead, n2s_client::wire::calls::ManifestHead, n2s_client::wire::calls::FetchedHead)),
    modifiers(&Bearer)
)]
struct About;

struct Bearer;

impl Modify for Bearer {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format("n2s_…").build();
        let components = document.components.get_or_insert_with(Default::default);
        components.add_security_scheme("token", SecurityScheme::Http(scheme));
    }
}

pub(super) fn about() -> utoipa::openapi::OpenApi {
    About::openapi()
}

/// The document that `/openapi.json` serves, made from the handlers. The security requirement of each operation names the scopes of
/// which a token needs one.
pub fn openapi() -> utoipa::openapi::OpenApi {
    super::routes().1
}
