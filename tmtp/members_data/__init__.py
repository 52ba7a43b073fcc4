"""What members and the site's owners do with a member's data as a whole: export it, and delete the account."""
