//! Codes of findings in torch.

super::codes! {}
