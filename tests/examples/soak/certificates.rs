//! A certificate that is replaced while sessions run.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use tempfile::TempDir;

/// Files of a CA, and of a server's certificate.
pub(crate) struct Certificates {
    directory: TempDir,
    issuer: Issuer<'static, KeyPair>,
}

impl Certificates {
    pub(crate) fn new() -> Result<Self> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "a CA of the soak");
        let ca = params.self_signed(&key)?.pem();
        let new = Self { directory: tempfile::tempdir()?, issuer: Issuer::new(params, key) };
        fs::write(new.ca(), ca)?;
        new.replace()?;
        Ok(new)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn ca(&self) -> PathBuf {
        self.file("ca.pem")
    }

    pub(crate) fn certificate(&self) -> PathBuf {
        self.file("server.pem")
    }

    pub(crate) fn key(&self) -> PathBuf {
        self.file("server.key")
    }

    /// Another certificate, and another key: for a moment they do not fit.
    pub(crate) fn replace(&self) -> Result<()> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(vec!["127.0.0.1".into()])?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let certificate = params.signed_by(&key, &self.issuer)?;
        put(&self.certificate(), &certificate.pem())?;
        put(&self.key(), &key.serialize_pem())
    }
}

/// A reader finds all of it, or what was there before.
fn put(file: &Path, text: &str) -> Result<()> {
    let new = file.with_extension("new");
    fs::write(&new, text)?;
    Ok(fs::rename(new, file)?)
}
