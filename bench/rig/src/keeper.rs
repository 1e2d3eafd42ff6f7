use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use anyhow::Result;
use rustix::event::epoll;
use strait::leg::Framing;

use crate::link::Link;

/// Keeps connections that have nothing to say, all in one thread, and answers their heartbeats.
#[derive(Debug)]
pub(crate) struct Keeper<L>(Arc<Kept<L>>);

struct Kept<L> {
    epoll: OwnedFd,
    links: Mutex<HashMap<i32, Link<L>>>,
}

impl<L> Clone for Keeper<L> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<L: Framing + Send + 'static> Keeper<L> {
    /// Its thread lives as long as this program.
    pub(crate) fn start() -> Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let keeper = Self(Arc::new(Kept { epoll, links: Mutex::default() }));
        let kept = keeper.clone();
        thread::spawn(move || {
            let mut events = Vec::with_capacity(1024);
            loop {
                events.clear();
                let waited = epoll::wait(&kept.0.epoll, rustix::buffer::spare_capacity(&mut events), None);
                if waited.is_ok() {
                    for event in &events {
                        kept.attend(event.data.u64().cast_signed() as i32);
                    }
                }
            }
        });
        Ok(keeper)
    }

    pub(crate) fn keep(&self, mut link: Link<L>) -> Result<()> {
        link.received(|_, _, _| Ok(()))?;
        let mut links = self.links();
        let number = link.number();
        epoll::add(
            &self.0.epoll,
            &link,
            epoll::EventData::new_u64(i64::from(number).cast_unsigned()),
            epoll::EventFlags::IN,
        )?;
        links.insert(number, link);
        Ok(())
    }

    /// Connections that are still there.
    pub(crate) fn len(&self) -> usize {
        self.links().len()
    }

    /// Drops them all.
    pub(crate) fn clear(&self) {
        self.links().clear();
    }

    fn attend(&self, number: i32) {
        let mut links = self.links();
        let Some(link) = links.get_mut(&number) else { return };
        // It has something to read, so this does not wait.
        if !link.read(|_, _, _| Ok(())).unwrap_or(false) {
            links.remove(&number);
        }
    }

    fn links(&self) -> MutexGuard<'_, HashMap<i32, Link<L>>> {
        self.0.links.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<L> std::fmt::Debug for Kept<L> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Kept").finish_non_exhaustive()
    }
}
