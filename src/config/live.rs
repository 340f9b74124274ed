//! A value that a reload of the settings replaces while the server runs.

use std::sync::Arc;

use parking_lot::RwLock;

/// A value in force. Its clones share it, so that each of them reads the newest value.
#[derive(Debug, Default)]
pub struct Live<T>(Arc<RwLock<Arc<T>>>);

impl<T> Live<T> {
    /// Puts a value in force.
    pub fn new(value: T) -> Self {
        Self(Arc::new(RwLock::new(Arc::new(value))))
    }

    /// Returns the value in force.
    pub fn get(&self) -> Arc<T> {
        self.0.read().clone()
    }

    /// Puts another value in force.
    pub fn set(&self, value: T) {
        *self.0.write() = Arc::new(value);
    }
}

impl<T> Clone for Live<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}
