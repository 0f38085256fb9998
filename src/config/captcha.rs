//! `[captcha]`: keeping machines out.

use super::section::section;

section! {
    /// Keeping machines out: who registers solves a reCAPTCHA, once both keys are set.
    "captcha" Captcha {
        /// The site's public key.
        site_key: Option<String> = None, sample "public key";
        /// The site's secret key.
        secret_key: Option<String> = None, sample "secret key";
        /// Where answers are verified. Services that speak the same protocol work too.
        verify_url: String = "https://www.recaptcha.net/recaptcha/api/siteverify".to_owned();
        /// The script that shows the captcha on the fallback page.
        script_url: String = "https://www.recaptcha.net/recaptcha/api.js".to_owned();
    }
}
