//! How an answer can break the rules of HTTP/1.1.

macro_rules! malformed {
    ($($(#[$doc:meta])* $variant:ident = $detail:literal;)+) => {
        /// What is wrong with an answer. Nobody is asked again after one:
        /// whoever sends such a thing has processed the request.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
        #[non_exhaustive]
        pub enum Malformed {
            $($(#[$doc])* #[error($detail)] $variant,)+
        }

        impl Malformed {
            /// For a person. Says nothing about what is behind the proxy.
            #[must_use]
            pub const fn detail(self) -> &'static str {
                match self { $(Self::$variant => $detail,)+ }
            }
        }
    };
}

malformed! {
    /// It does not begin as HTTP/1 does, or a line of its head is none. A line
    /// ends with CR LF: one that ends with LF alone is more often a value that
    /// somebody has broken in two than an old server (RFC 9112 section 2.2).
    NotHttp = "the instance's answer is not HTTP";
    /// The head has more than 256 KiB.
    HeadTooLong = "the head of the instance's answer is too long";
    /// The head has more than 256 fields.
    TooManyFields = "the head of the instance's answer has too many fields";
    /// The end can be found in two ways (RFC 9112 section 6.3).
    LengthUnclear = "the length of the instance's answer can be read in more than one way";
    /// More than 16 heads before the one that counts.
    TooManyInterim = "the instance sent too many interim answers";
    /// 101 without a request for it.
    UnaskedSwitch = "the instance switched to a protocol that was not asked for";
    /// It breaks a rule of HTTP/2, or the request cannot be said in it.
    NoHttp2 = "what the instance speaks is not HTTP/2";
    /// A chunk is none (RFC 9112 section 7.1).
    Chunk = "the instance's answer is not chunked as it says";
    /// The trailers are too long, too many, or none.
    Trailers = "the trailers of the instance's answer are not HTTP";
}
