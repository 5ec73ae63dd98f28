//! Graph passes and their driver.
