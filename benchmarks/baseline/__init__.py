"""What plain methods reach on the public data sets, and how far train and validation are apart."""
