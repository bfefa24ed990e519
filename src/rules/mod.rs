//! Pure rules that both halves apply.
