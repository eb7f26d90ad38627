"""A drawn corpus: tagged pictures and a labelled target, made from one seed without any data.

A picture shows one shape in a colour and a texture before a background, at any rotation, with
small distractors. People's habits are drawn too: tags follow Zipf's law, come in several
spellings and languages, are missing or wrong. Of the target's classes (a shape with a texture)
no tag is the name.
"""
