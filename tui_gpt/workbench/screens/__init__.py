"""The screens, one file each; every one is the base of a Textual mode, so that dialogs stay with their screen."""
