use crate::case::Kind;

mod go;
mod spdy_transport;
mod strait;

/// What is known of a peer that is not as written.
#[derive(Debug)]
pub struct Profile {
    /// The name it is chosen by.
    pub name: &'static str,
    /// Which peers it is about.
    pub about: &'static str,
    /// What such a peer is without, and why.
    pub without: &'static [(Kind, &'static str)],
    /// Streams have to have HTTP's headers.
    pub http_headers: bool,
    /// What it does otherwise.
    pub deviations: &'static [Deviation],
}

/// A behaviour that differs from what is written.
#[derive(Debug, Clone, Copy)]
pub struct Deviation {
    /// Number of the case.
    pub case: &'static str,
    /// What is seen. More than one where a race decides.
    pub seen: &'static [&'static str],
    /// Why, and where that is to be read.
    pub why: &'static str,
}

/// All profiles, the one without any quirks first.
pub const PROFILES: &[Profile] =
    &[NONE, strait::PROFILE, strait::CLIENT, go::SERVER, go::CLIENT, spdy_transport::PROFILE];

const NONE: Profile = Profile {
    name: "none",
    about: "nothing but what is written",
    without: &[],
    http_headers: false,
    deviations: &[],
};

impl Profile {
    /// The profile of this name.
    pub fn named(name: &str) -> Option<&'static Self> {
        PROFILES.iter().find(|profile| profile.name == name)
    }

    /// Why cases of this kind are not run.
    pub(crate) fn without(&self, kind: Kind) -> Option<String> {
        self.without.iter().find(|(without, _)| *without == kind).map(|(_, why)| (*why).to_owned())
    }

    /// What this peer does otherwise in a case.
    pub fn deviation(&self, case: &str) -> Option<&'static Deviation> {
        self.deviations.iter().find(|deviation| deviation.case == case)
    }
}
