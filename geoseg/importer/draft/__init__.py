"""`geoseg models new`: a bundle with a commented ``model.json``, in which the user fills in what nobody can know."""
