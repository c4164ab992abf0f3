//! The account at an ACME server: the one that is kept, or a new one.

use instant_acme::{Account, ExternalAccountKey, NewAccount};
use tracing::info;

use super::client::Client;
use super::{Error, Options, Step, store};

/// The account of earlier times, if there is one.
pub(super) async fn kept(options: &Options, client: &Client) -> Result<Option<Account>, Error> {
    let Some(credentials) = store::account(options).await? else { return Ok(None) };
    let account = Account::builder_with_http(Box::new(client.clone())).from_credentials(credentials).await;
    account.map(Some).map_err(|error| Step::Account.failed(error))
}

/// A new account, in the place of an old one. The terms of the server are agreed to: who names a host for it has read them.
pub(super) async fn new(options: &Options, client: &Client) -> Result<Account, Error> {
    let contact = options.email.as_ref().map(|email| format!("mailto:{email}"));
    let contact: Vec<&str> = contact.as_deref().into_iter().collect();
    let wanted = NewAccount { contact: &contact, terms_of_service_agreed: true, only_return_existing: false };
    let binding = options.eab.as_ref().map(|eab| ExternalAccountKey::new(eab.id.clone(), &eab.key));
    let builder = Account::builder_with_http(Box::new(client.clone()));
    let made = builder.create(&wanted, options.directory.clone(), binding.as_ref()).await;
    let (account, credentials) = made.map_err(|error| Step::Account.failed(error))?;
    store::keep_account(options, credentials).await?;
    info!(acme.server = %options.directory, acme.account = account.id(), "there is a new account at the ACME server");
    Ok(account)
}
