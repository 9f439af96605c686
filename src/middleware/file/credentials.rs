//! Credentials in chain files: a name, and where the secret stands.

use std::path::PathBuf;

use super::reader::{Located, TomlReader, TomlTable};
use crate::causes::causes;
use crate::middleware::credentials::Credentials;
use crate::middleware::secret::{Secret, SecretLocation};

/// `{ user = "shadow", password-env = "STAGING_PASSWORD" }`.
pub(super) fn basic(value: &Located<'_>, reader: &mut TomlReader<'_>) -> Option<Credentials> {
    let mut table = reader.table(value)?;
    let user = table.take("user");
    let password = secret(&mut table, "password", value, reader);
    table.finish(reader, "in basic-auth", &["user", "password-env", "password-file"]);
    let Some(user) = user else {
        reader
            .wrong(value.span(), "basic-auth needs a user, such as { user = \"shadow\", password-env = \"PASSWORD\" }");
        return None;
    };
    let name = reader.text(user)?;
    let fits = !name.contains(':') && !name.bytes().any(|byte| byte.is_ascii_control());
    let name = reader.keep(
        user.span(),
        if fits { Ok(name) } else { Err("a user has no colon and no control character (RFC 7617)") },
    )?;
    Some(Credentials::basic(name, &password?))
}

/// `{ token-env = "STAGING_TOKEN" }`.
pub(super) fn bearer(value: &Located<'_>, reader: &mut TomlReader<'_>) -> Option<Credentials> {
    let mut table = reader.table(value)?;
    let token = secret(&mut table, "token", value, reader);
    table.finish(reader, "in bearer", &["token-env", "token-file"]);
    Some(Credentials::bearer(&token?))
}

/// The secret under `what-env` or `what-file`; one of them has to be there.
fn secret(table: &mut TomlTable<'_>, what: &str, value: &Located<'_>, reader: &mut TomlReader<'_>) -> Option<Secret> {
    if let Some(plain) = table.take(what) {
        let message = format!(
            "a secret does not stand in a chain file: name a variable with {what}-env, or a file with {what}-file"
        );
        reader.wrong(plain.span(), message);
        return None;
    }
    let found = optional_secret(table, what, reader);
    if found.is_none() {
        reader.wrong(
            value.span(),
            format!("say where the {what} is: {what}-env = \"VARIABLE\" or {what}-file = \"FILE\""),
        );
    }
    found.flatten()
}

/// `None` where there is none, `Some(None)` after a mistake.
#[expect(clippy::option_option, reason = "no secret is another thing than one that cannot be had")]
pub(super) fn optional_secret(
    table: &mut TomlTable<'_>,
    what: &str,
    reader: &mut TomlReader<'_>,
) -> Option<Option<Secret>> {
    let [variable, file] = ["env", "file"].map(|place| table.take(&format!("{what}-{place}")));
    if let (Some(_), Some(file)) = (variable, file) {
        reader.wrong(file.span(), format!("{what}-env and {what}-file contradict each other"));
        return Some(None);
    }
    let value = variable.or(file)?;
    let Some(name) = reader.text(value) else { return Some(None) };
    let place = if variable.is_some() {
        SecretLocation::Variable(name.to_owned())
    } else {
        SecretLocation::File(PathBuf::from(name))
    };
    let read = reader.environment.secrets.read(&place, reader.folder());
    Some(reader.keep(value.span(), read.map_err(|error| causes(&error))))
}
