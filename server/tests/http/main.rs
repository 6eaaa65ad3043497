//! The server through its sockets: answers, refusals, limits, and the end of its life.

mod answers; // what comes back is what the model says in this process
mod binary; // tensors in binary, what a client by others sends, hostile ones
mod client; // a client that can also misbehave
mod crew; // more and fewer workers, Unix sockets
mod ends; // drain and stop, under load too
mod limits; // sizes, times, counts
mod models; // made-up models
mod openapi; // the document is true, the page is whole
mod queue; // what waits for a thread
mod refusals; // every documented status
mod repository; // models from files, replaced under load
mod slow; // clients that are slow or stuck
