"""Tables of the reference pages in docs/, taken from the code that they tell of."""
