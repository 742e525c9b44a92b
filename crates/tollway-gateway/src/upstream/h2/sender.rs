//! Sending of a request body on an HTTP/2 stream.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::SendStream;
use http_body::{Body, Frame};

use crate::upstream::error::ExchangeError;
use crate::upstream::upload::{Progress, Upload};

/// A request body, and the stream that takes it.
#[derive(Debug)]
pub(crate) struct BodySender {
    stream: SendStream<Bytes>,
    upload: Upload,
    is_active: bool,
}

impl BodySender {
    /// The stream of an empty body has ended already.
    pub(crate) fn new(stream: SendStream<Bytes>, upload: Upload) -> Self {
        let is_active = !upload.is_end_stream();
        Self {
            stream,
            upload,
            is_active,
        }
    }

    /// Returns how far the body has been sent.
    pub(crate) fn progress(&self) -> Progress {
        self.upload.progress()
    }

    /// Returns the body after an attempt that failed.
    pub(crate) fn into_upload(self) -> Upload {
        self.upload
    }

    /// Returns whether there is more to send.
    pub(crate) const fn is_active(&self) -> bool {
        self.is_active
    }

    /// Sends as much as the upstream takes. Ready when all is sent, or no more is taken.
    ///
    /// # Errors
    ///
    /// The client's body ended early: the stream must be dropped.
    pub(crate) fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ExchangeError>> {
        while self.is_active {
            if self.stream.capacity() == 0 {
                self.stream.reserve_capacity(1);
                let is_open = matches!(ready!(self.stream.poll_capacity(cx)), Some(Ok(_)));
                // The response states why a stream has ended.
                self.is_active = is_open;
                continue;
            }
            match Pin::new(&mut self.upload).poll_frame(cx) {
                Poll::Ready(frame) => self.send(frame)?,
                // An upstream may state that it needs no more.
                Poll::Pending if self.stream.poll_reset(cx).is_ready() => self.is_active = false,
                Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Ready(Ok(()))
    }

    fn send(
        &mut self,
        frame: Option<Result<Frame<Bytes>, hyper::Error>>,
    ) -> Result<(), ExchangeError> {
        let Some(frame) = frame else {
            self.is_active = false;
            let _stream_ended = self.stream.send_data(Bytes::new(), true);
            return Ok(());
        };
        let frame = frame.map_err(ExchangeError::ClientBody)?;
        let is_last = frame.is_trailers() || self.upload.is_end_stream();
        let sent = match frame.into_data() {
            Ok(data) if data.is_empty() && !is_last => Ok(()),
            Ok(data) => self.stream.send_data(data, is_last),
            Err(frame) => {
                let trailers = frame.into_trailers().unwrap_or_default();
                self.stream.send_trailers(trailers)
            }
        };
        self.is_active = !is_last && sent.is_ok();
        Ok(())
    }
}
