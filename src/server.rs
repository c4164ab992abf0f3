//! Builds the state, owns the sockets and the background tasks.
