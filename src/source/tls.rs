//! TLS on a connection to a server, with the meaning of each [`SslMode`].
//!
//! `preferred` and `required` take any certificate: they keep a listener out, not an impostor.
//! `verify-ca` checks the chain only, `verify-full` the host name as well.

use super::wire::Stream;
use super::{Endpoint, SslMode};
use crate::error::{Error, Result, Wrap};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
};
use std::io;
use std::path::Path;
use std::sync::Arc;
use tokio_rustls::TlsConnector;

/// Encrypts a connection on which the server has agreed to TLS.
///
/// # Errors
/// `Config` when a file cannot be used or the certificate is not accepted, `Unavailable` when the
/// connection breaks.
pub(super) async fn encrypt(
    stream: Box<dyn Stream>,
    endpoint: &Endpoint,
) -> Result<Box<dyn Stream>> {
    let config = client_config(endpoint)?;
    let name = ServerName::try_from(endpoint.host.clone())
        .wrap(|| Error::config("read host name for TLS").field("host", &endpoint.host))?;
    let connector = TlsConnector::from(Arc::new(config));
    match connector.connect(name, stream).await {
        Ok(stream) => Ok(Box::new(stream)),
        Err(error) => Err(handshake_error(endpoint, error)),
    }
}

fn client_config(endpoint: &Endpoint) -> Result<ClientConfig> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .wrap(|| Error::internal("configure TLS"))?;
    let builder = match endpoint.ssl_mode {
        SslMode::VerifyFull => builder.with_root_certificates(roots(endpoint)?),
        mode => {
            let roots = match mode {
                SslMode::VerifyCa => Some(roots(endpoint)?),
                _ => None,
            };
            let verifier = NamelessVerifier { roots, provider };
            builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(verifier))
        }
    };
    let (Some(cert), Some(key)) = (&endpoint.ssl_cert, &endpoint.ssl_key) else {
        return Ok(builder.with_no_client_auth());
    };
    let key_der = PrivateKeyDer::from_pem_file(key)
        .wrap(|| Error::config("read client key").field("path", key.display()))?;
    builder
        .with_client_auth_cert(certificates(cert)?, key_der)
        .wrap(|| Error::config("use client certificate").field("path", cert.display()))
}

/// The trusted authorities: of `ssl-ca`, or of the system.
fn roots(endpoint: &Endpoint) -> Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    match &endpoint.ssl_ca {
        Some(path) => {
            for certificate in certificates(path)? {
                roots
                    .add(certificate)
                    .wrap(|| Error::config("use ssl-ca").field("path", path.display()))?;
            }
        }
        None => {
            roots.add_parsable_certificates(system_roots());
            if roots.is_empty() {
                return Err(Error::config("find trusted authorities of the system")
                    .hint("give ssl-ca=PATH, or install the package ca-certificates"));
            }
        }
    }
    Ok(roots)
}

/// The authorities that this machine trusts.
pub(super) fn system_roots() -> impl Iterator<Item = CertificateDer<'static>> {
    rustls_native_certs::load_native_certs().certs.into_iter()
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let bad = || {
        Error::config("read certificates")
            .field("path", path.display())
            .hint("give a readable PEM file with at least one certificate")
    };
    let found: Result<Vec<_>, _> = CertificateDer::pem_file_iter(path).wrap(bad)?.collect();
    let found = found.wrap(bad)?;
    match found.is_empty() {
        true => Err(bad()),
        false => Ok(found),
    }
}

/// Says what is wrong with the certificate, because the modes differ in just that.
fn handshake_error(endpoint: &Endpoint, error: io::Error) -> Error {
    let tls = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<rustls::Error>());
    let made = match tls {
        None => Error::unavailable("encrypt connection"),
        Some(rustls::Error::InvalidCertificate(why)) => match why {
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                Error::config("verify server certificate: it is not for this host").hint(
                    "connect by a name the certificate holds, or use ssl-mode=verify-ca if only \
                     the authority matters",
                )
            }
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                Error::config("verify server certificate: it has expired")
                    .hint("renew the server's certificate")
            }
            CertificateError::UnknownIssuer => {
                Error::config("verify server certificate: its authority is not trusted")
                    .hint("give the authority's certificate by ssl-ca=PATH")
            }
            _ => Error::config("verify server certificate")
                .hint("give the server a certificate that is valid for this client"),
        },
        Some(_) => Error::config("agree on TLS with server")
            .hint("the server must offer TLS 1.2 or 1.3, and may want a client certificate"),
    };
    made.field("host", &endpoint.host)
        .field("ssl_mode", endpoint.ssl_mode.name())
        .source(error)
}

/// Checks a chain against roots and never a name; without roots takes any certificate, even one
/// that cannot be parsed (servers of old make version 1 certificates for themselves).
#[derive(Debug)]
struct NamelessVerifier {
    roots: Option<RootCertStore>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for NamelessVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if let Some(roots) = &self.roots {
            verify_server_cert_signed_by_trust_anchor(
                &ParsedCertificate::try_from(end_entity)?,
                roots,
                intermediates,
                now,
                self.provider.signature_verification_algorithms.all,
            )?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        match self.roots {
            None => Ok(HandshakeSignatureValid::assertion()),
            Some(_) => {
                let algorithms = &self.provider.signature_verification_algorithms;
                verify_tls12_signature(message, cert, signed, algorithms)
            }
        }
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        match self.roots {
            None => Ok(HandshakeSignatureValid::assertion()),
            Some(_) => {
                let algorithms = &self.provider.signature_verification_algorithms;
                verify_tls13_signature(message, cert, signed, algorithms)
            }
        }
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}
