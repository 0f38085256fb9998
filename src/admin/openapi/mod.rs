//! `GET /_playhouse/admin/v1/openapi.json`: this server's own admin API, as OpenAPI describes such.

mod accounts;
pub(crate) mod described;
mod describing;
mod joins;
mod policies;
mod waiting;

use std::sync::Arc;

use playhouse_actors::admins::AdminRole;
use ruma::{
    api::{auth_scheme::AccessToken, request, response},
    metadata,
};
use utoipa::openapi::{
    Array, Components, Content, HttpMethod, Info, Object, ObjectBuilder, OpenApi, OpenApiBuilder,
    Paths, RefOr, Required, Schema, Type,
    path::{Operation, OperationBuilder, Parameter, ParameterBuilder, ParameterIn},
    request_body::RequestBodyBuilder,
    response::{Response as Told, ResponseBuilder},
    security::{Http, HttpAuthScheme, SecurityRequirement, SecurityScheme},
};

use self::{
    accounts::ACCOUNTS,
    described::{ALL, BASE},
    describing::{Described, Field, Holds},
    joins::JOINS,
    policies::POLICIES,
    waiting::WAITING,
};
use crate::edge::{Admin, App, Failure, RawJson, Routes, administrator::role_name};

const JSON: &str = "application/json";

/// Mounts it.
pub(crate) fn mount(routes: &mut Routes) {
    routes.mount_raw(handle).role(AdminRole::Read);
}

metadata! {
    method: GET,
    rate_limited: false,
    authentication: AccessToken,
    path: "/_playhouse/admin/v1/openapi.json",
}

/// Asks.
#[request]
pub(crate) struct Request {}

/// The description.
#[response]
pub(crate) struct Response {}

/// Describes the API.
pub(crate) async fn handle(
    _app: Arc<App>,
    _caller: Admin,
    _request: Request,
) -> Result<RawJson, Failure> {
    let body = serde_json::to_vec(&document()).map_err(Failure::internal)?;
    Ok(RawJson(body.into()))
}

/// All endpoints.
pub(crate) fn all() -> impl Iterator<Item = &'static Described> {
    let parts = [ACCOUNTS, JOINS, POLICIES, WAITING];
    ALL.iter().chain(parts.into_iter().flatten())
}

fn document() -> OpenApi {
    let mut paths = Paths::new();
    for one in all() {
        let path = format!("{BASE}{}", one.path);
        paths.add_path_operation(path, vec![method(one.method)], operation(one));
    }
    let mut components = Components::new();
    let scheme = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
    components.add_security_scheme("token", scheme);
    OpenApiBuilder::new()
        .info(Info::new("Playhouse admin API", env!("CARGO_PKG_VERSION")))
        .paths(paths)
        .components(Some(components))
        .build()
}

fn method(name: &str) -> HttpMethod {
    match name {
        "POST" => HttpMethod::Post,
        "PUT" => HttpMethod::Put,
        "DELETE" => HttpMethod::Delete,
        _ => HttpMethod::Get,
    }
}

fn operation(one: &Described) -> Operation {
    let role = role_name(one.role);
    let mut operation = OperationBuilder::new()
        .summary(Some(one.summary))
        .description(Some(format!("Takes the role {role}.")))
        .tag(role)
        .security(SecurityRequirement::new("token", [role]))
        .response("200", told("It is done.", object((one.answer, &[]))))
        .response("400", refused("What was asked for makes no sense."))
        .response(
            "401",
            refused("The token is missing, unknown or has ended."),
        )
        .response("403", refused("The caller lacks the role."));
    if one.path.contains('{') {
        operation = operation.response("404", refused("There is no such thing."));
    }
    for name in variables(one.path) {
        operation = operation.parameter(parameter((name, Holds::Text, ""), ParameterIn::Path));
    }
    for field in one.query {
        operation = operation.parameter(parameter(*field, ParameterIn::Query));
    }
    if let Some(fields) = one.body {
        let body = RequestBodyBuilder::new()
            .content(JSON, Content::new(Some(object(fields))))
            .required(Some(Required::True));
        operation = operation.request_body(Some(body.build()));
    }
    operation.build()
}

fn told(what: &str, schema: RefOr<Schema>) -> Told {
    ResponseBuilder::new()
        .description(what)
        .content(JSON, Content::new(Some(schema)))
        .build()
}

fn refused(why: &str) -> Told {
    let fields: &'static [Field] = &[
        ("errcode", Holds::Text, "the Matrix error code"),
        ("error", Holds::Text, "what is wrong, in words"),
    ];
    told(why, object((fields, &[])))
}

/// The names of what varies in a path.
fn variables(path: &'static str) -> impl Iterator<Item = &'static str> {
    let parts = path.split('/');
    parts.filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
}

fn parameter((name, holds, what): Field, place: ParameterIn) -> Parameter {
    ParameterBuilder::new()
        .name(name)
        .parameter_in(place)
        .required(Required::False)
        .description(Some(what).filter(|what| !what.is_empty()))
        .schema(Some(schema(holds, "")))
        .build()
}

/// An object with fields that are always there, and others.
fn object((always, others): (&[Field], &[Field])) -> RefOr<Schema> {
    let mut object = ObjectBuilder::new();
    for (name, holds, what) in always.iter().chain(others) {
        object = object.property(*name, schema(*holds, what));
    }
    if !others.is_empty() {
        for (name, ..) in always {
            object = object.required(*name);
        }
    }
    object.into()
}

fn schema(holds: Holds, what: &str) -> RefOr<Schema> {
    let plain = |of: Type| {
        let described = Some(what).filter(|what| !what.is_empty());
        let object = ObjectBuilder::new().schema_type(of);
        object.description(described).build()
    };
    match holds {
        Holds::Text => plain(Type::String).into(),
        Holds::Number => plain(Type::Integer).into(),
        Holds::Truth => plain(Type::Boolean).into(),
        Holds::Object => plain(Type::Object).into(),
        Holds::Texts => Array::new(Object::with_type(Type::String)).into(),
        Holds::Objects => Array::new(plain(Type::Object)).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_description_names_everything() {
        let text = serde_json::to_string(&document()).unwrap();
        let told: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(told["info"]["title"], "Playhouse admin API");
        for one in all() {
            let method = one.method.to_ascii_lowercase();
            let operation = &told["paths"][format!("{BASE}{}", one.path)][method];
            assert_eq!(operation["summary"], one.summary, "{}", one.path);
            let parameters = operation["parameters"].as_array().map_or(0, Vec::len);
            assert_eq!(parameters, variables(one.path).count() + one.query.len());
        }
        let made = &told["paths"]["/_playhouse/admin/v1/tokens"]["post"]["requestBody"];
        let fields = &made["content"][JSON]["schema"]["properties"];
        assert_eq!(fields["roles"]["type"], "array", "{made}");
    }
}
