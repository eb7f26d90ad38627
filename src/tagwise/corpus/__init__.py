"""Tagged pictures of any form, and the corpus on disk that they become."""
