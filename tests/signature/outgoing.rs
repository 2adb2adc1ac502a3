//! What a generation lets leave: headers changed, and signed with the fields of project and user.
