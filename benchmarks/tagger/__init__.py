"""What `token-tagger` reaches on WNUT-2017."""
